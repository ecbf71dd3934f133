//! What the server says of rows and columns, in the words of the command line.

use std::collections::BTreeMap;

use serde_json::Value;
use things_client::Problem;

use super::super::{asked::text, output::counted};

/// The server tells no more of them.
const MOST_ERRORS: u64 = 1_000;

/// Why a row was rejected.
pub(super) fn reason(event: &Value) -> String {
    let errors = event.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let told = errors.iter().map(|error| match text(error, "field") {
        "" => text(error, "message").to_owned(),
        field => format!("{field} {}", text(error, "message")),
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Mistakes in the file are counted, and then told line by line: `[16].name` and `line 18: is required` become
/// `line 18, name` and `is required`, in the order of the lines. The server begins with the first of them.
pub(super) fn refused(problem: &Problem, partial: bool) -> Problem {
    let mut problem = problem.clone();
    let in_file = |field: &String| field == "body" || field.starts_with('[');
    // Others have more to say than that: which limit it is, and for how long.
    if problem.status == 400 && !problem.errors.is_empty() && problem.errors.keys().all(in_file) {
        let count = u64::try_from(problem.errors.len()).unwrap_or(u64::MAX);
        let least = if count < MOST_ERRORS { "" } else { "at least " };
        let made = if partial { "" } else { ", and nothing is made" };
        problem.detail = format!("{least}{} in the file{made}", counted(count, "mistake"));
    }
    let named = std::mem::take(&mut problem.errors);
    problem.errors = named
        .into_iter()
        .map(|(field, message)| placed(field, options(&message)))
        .collect::<BTreeMap<_, _>>();
    problem
}

fn placed(field: String, message: String) -> (String, String) {
    let inner = match field.split_once(']') {
        Some((_, inner)) => inner.trim_start_matches('.'),
        None if field == "body" => "",
        None => return (field, message),
    };
    match message.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((line, told)) => {
            let comma = if inner.is_empty() { "" } else { ", " };
            // Padded, to be in order; whoever shows it takes that away.
            (format!("line {line:>8}{comma}{inner}"), told.to_owned())
        }
        None if field == "body" => ("the file".to_owned(), message),
        None => (field, message),
    }
}

/// Parameters of the API as the options that they are here.
fn options(message: &str) -> String {
    message.replace("columns=", "--columns ").replace("`profile_id` for all rows", "--profile for all rows")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_name_their_fields() {
        let errors = [("name", "must not be empty"), ("", "is too long")];
        let errors = errors.map(|(field, message)| json!({"field": field, "message": message}));
        let event = json!({"event": "rejected", "row": 1, "line": 2, "errors": errors});
        assert_eq!(reason(&event), "name must not be empty; is too long");
    }

    #[test]
    fn mistakes_are_counted_and_told_once_in_the_words_of_the_command_line() {
        let told = |errors: Value| {
            let problem = json!({"status": 400, "detail": "body: line 1: x (and 1 more)", "errors": errors});
            let problem = refused(&serde_json::from_value(problem).unwrap(), false);
            (problem.detail, problem.errors.into_iter().collect::<Vec<_>>())
        };
        let (headline, errors) = told(
            json!({"body": "line 1: leave `a` out with columns=a:-", "[9].name": "line 11: is required"}),
        );
        assert_eq!(headline, "2 mistakes in the file, and nothing is made");
        assert_eq!(errors[0], ("line        1".to_owned(), "leave `a` out with --columns a:-".to_owned()));
        assert_eq!(errors[1], ("line       11, name".to_owned(), "is required".to_owned()));
        let limited = json!({"status": 429, "detail": "so many keys", "errors": {"[57].key": "is taken"}});
        let limited = refused(&serde_json::from_value(limited).unwrap(), false);
        assert_eq!(limited.detail, "so many keys");
        let (headline, errors) = told(json!({"columns": "names the column `x`, and there is none"}));
        assert_eq!((headline.as_str(), errors[0].0.as_str()), ("body: line 1: x (and 1 more)", "columns"));
    }
}
