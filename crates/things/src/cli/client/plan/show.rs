//! A plan, for reading.

use serde_json::{Value, json};

use super::{
    super::{
        Failure,
        asked::note,
        inert,
        output::{Column, Form, Output},
    },
    steps::{Plan, Sign, Step},
};

const STEPS: &[Column] = &[
    Column::new("change", "CHANGE"),
    Column::new("kind", "KIND"),
    Column::new("group", "GROUP"),
    Column::new("name", "NAME"),
    Column::new("details", "DETAILS"),
];

impl Sign {
    fn mark(self) -> char {
        match self {
            Self::Make => '+',
            Self::Change => '~',
            Self::Delete => '-',
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Make => "create",
            Self::Change => "update",
            Self::Delete => "delete",
        }
    }
}

/// The whole plan: a tree for people, its steps for programs.
pub(super) fn plan(out: Output, plan: &Plan) -> Result<(), Failure> {
    if out.form != Form::Table {
        let steps = plan.steps.iter().map(|step| {
            json!({"change": step.sign.word(), "kind": step.noun, "group": step.group, "name": step.name, "details": step.details})
        });
        let steps: Vec<Value> = steps.collect();
        if out.form == Form::Json {
            return out.json(&json!({"steps": steps, "not_in_the_file": plan.spared}));
        }
        let mut list = out.list(STEPS);
        list.page(&steps)?;
        list.end()?;
        spared(plan);
        return Ok(());
    }
    if plan.steps.is_empty() {
        out.say("nothing to do")?;
    } else {
        super::super::super::print(&inert::lines(&tree(plan)))?;
        out.say(&counted(plan))?;
    }
    spared(plan);
    Ok(())
}

/// Tells of what is left because nobody said `--prune`.
pub(super) fn spared(plan: &Plan) {
    if plan.spared > 0 {
        let them = if plan.spared == 1 { "one is" } else { "some are" };
        note(&format!(
            "{them} there and not in the file ({}); --prune would delete what is not",
            plan.spared
        ));
    }
}

/// `3 changes: 1 new, 1 changed, 1 deleted`.
pub(super) fn counted(plan: &Plan) -> String {
    let count = |sign| plan.steps.iter().filter(|step| step.sign == sign).count();
    let all = plan.steps.len();
    format!(
        "{all} change{}: {} new, {} changed, {} deleted",
        if all == 1 { "" } else { "s" },
        count(Sign::Make),
        count(Sign::Change),
        count(Sign::Delete)
    )
}

fn tree(plan: &Plan) -> String {
    let mut text = format!("organisation {}\n", inert::line(&plan.org));
    let mut groups: Vec<&str> = Vec::new();
    for step in &plan.steps {
        let group = step.group.as_deref().or((step.noun == "group").then_some(step.name.as_str()));
        match group {
            None => line(&mut text, step, 2),
            Some(group) if !groups.contains(&group) => groups.push(group),
            Some(_) => {}
        }
    }
    for group in groups {
        match plan.steps.iter().find(|step| step.noun == "group" && step.name == group) {
            Some(step) => line(&mut text, step, 2),
            None => text.push_str(&format!("    group {}\n", inert::line(group))),
        }
        for step in plan.steps.iter().filter(|step| step.group.as_deref() == Some(group)) {
            line(&mut text, step, 4);
        }
    }
    text
}

fn line(text: &mut String, step: &Step, indent: usize) {
    let indent = " ".repeat(indent);
    text.push_str(&format!("{indent}{} {} {}\n", step.sign.mark(), step.noun, inert::line(&step.name)));
    for detail in &step.details {
        text.push_str(&format!("{indent}      {}\n", inert::line(detail)));
    }
}
