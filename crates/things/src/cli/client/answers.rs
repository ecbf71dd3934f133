//! What is told of changes: a sentence for people, the server's answer for programs, and of a dry run the effect for both.

use serde_json::Value;
use things_client::Request;

use super::{
    Failure,
    asked::Asked,
    output::{Column, Form, counted},
};

/// What a dry run tells of each change.
const EFFECTS: &[Column] = &[
    Column::new("action", "ACTION"),
    Column::new("subject_kind", "KIND"),
    Column::new("subject_name", "NAME"),
    Column::new("subject_id", "ID"),
    Column::new("changes", "CHANGES"),
];

/// One of several changes, to be made.
pub(super) struct Change {
    /// What is done, for when it fails.
    pub(super) what: String,
    pub(super) request: Request,
    /// What people are told when it is done.
    pub(super) done: String,
    /// Whether they are told the id of the answer too.
    pub(super) tells_id: bool,
}

impl Asked<'_> {
    /// Ends by telling what was made or changed: the object for programs, a sentence for people. An answer without content
    /// is nothing to print.
    pub(super) fn done(
        &self,
        sentence: &str,
        columns: &'static [Column],
        answer: Option<&Value>,
    ) -> Result<(), Failure> {
        match (self.out.form, answer) {
            (_, None) => Ok(()),
            (Form::Table, Some(_)) => self.out.say(sentence),
            (_, Some(Value::Null)) => Ok(()),
            (_, Some(answer)) => self.out.object(columns, answer),
        }
    }

    /// The same for several objects.
    pub(super) fn all_done(
        &self,
        sentence: &str,
        columns: &'static [Column],
        answers: &[Value],
    ) -> Result<(), Failure> {
        if self.out.form == Form::Table {
            return self.out.say(sentence);
        }
        let mut list = self.out.list(columns);
        list.page(answers)?;
        list.end()
    }

    /// Makes one change after the other, until one fails. What was done before that is told all the same; to programs as one
    /// list, however many there are.
    pub(super) async fn each(
        &self,
        columns: &'static [Column],
        names: &[&str],
        mut prepare: impl AsyncFnMut(&str) -> Result<Change, Failure>,
    ) -> Result<(), Failure> {
        let mut answers = Vec::new();
        let mut outcome = Ok(());
        for name in names {
            match self.one_of(prepare(name).await).await {
                Ok(Value::Null) => {}
                Ok(answer) => answers.push(answer),
                Err(failure) => {
                    outcome = Err(failure);
                    break;
                }
            }
        }
        if self.out.form != Form::Table && !answers.is_empty() {
            match (self.is_dry(), self.out.form) {
                (true, Form::Csv) => {
                    let changes =
                        answers.iter_mut().filter_map(|effect| effect.get_mut("changes")?.as_array_mut());
                    let changes: Vec<Value> = changes.flatten().map(Value::take).collect();
                    self.all_done("", EFFECTS, &changes)?;
                }
                _ => self.all_done("", columns, &answers)?,
            }
        }
        outcome
    }

    /// Makes one of several, and tells people of it. For programs the answer, or a dry run's effect.
    async fn one_of(&self, change: Result<Change, Failure>) -> Result<Value, Failure> {
        let change = change?;
        let failed = |error| Failure::asking(&change.what, &error);
        if self.is_dry() {
            let effect: Value = change.request.dry_run().read().await.map_err(failed)?;
            if self.out.form == Form::Table {
                self.effect(&effect)?;
            }
            return Ok(effect);
        }
        let answer: Value = change.request.read().await.map_err(failed)?;
        if self.out.form == Form::Table {
            let id = answer.get("id").and_then(Value::as_str).filter(|_| change.tells_id);
            self.out.say(&id.map_or_else(|| change.done.clone(), |id| format!("{}: {id}", change.done)))?;
        }
        Ok(answer)
    }

    /// Tells what a dry run found.
    pub(super) fn effect(&self, effect: &Value) -> Result<(), Failure> {
        let changes = effect.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        match self.out.form {
            Form::Table => {}
            Form::Csv => return self.all_done("", EFFECTS, changes),
            Form::Json | Form::Ndjson => return self.out.object(EFFECTS, effect),
        }
        let total = effect.get("total").and_then(Value::as_u64).unwrap_or_default();
        self.out.say(&format!("dry run: {} would be made", counted(total, "change")))?;
        for change in changes {
            let text = |name: &str| change.get(name).and_then(Value::as_str).unwrap_or_default();
            let (name, id) = (text("subject_name"), text("subject_id"));
            let whom = if name.is_empty() { id.to_owned() } else { format!("{name} ({id})") };
            let details =
                change.get("changes").filter(|value| !value.is_null()).map(|value| format!("  {value}"));
            self.out.say(&format!("  {}  {whom}{}", text("action"), details.unwrap_or_default()))?;
        }
        let told = u64::try_from(changes.len()).unwrap_or(u64::MAX);
        if told < total { self.out.say(&format!("  and {} more", total - told)) } else { Ok(()) }
    }
}
