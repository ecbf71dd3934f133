//! Text from elsewhere, made safe for where it is shown: a terminal obeys control characters, and a
//! spreadsheet obeys cells that begin like a formula.

use std::borrow::Cow;

/// Whether a terminal would act on it, or it would make text look like other text.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// For one line of a terminal: what acts is written out, `\u{1b}`.
pub(super) fn line(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if acts(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// For several lines: as [`line`], but line ends stay.
pub(super) fn lines(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// For JSON, in which what acts can only stand inside of strings: written as JSON escapes, so that it
/// still means the same.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| acts(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) && c != '\n' {
            shown.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// For a cell of a CSV file: what a spreadsheet would calculate gets a `'` before it, and what begins with one
/// gets another, so that it can be taken off again.
pub(super) fn cell(text: &str) -> Cow<'_, str> {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\'') => Cow::Owned(format!("'{text}")),
        _ => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_to_do() {
        let hostile = "a\u{1b}[2Jb\u{9b}31mc\u{202e}d\u{7f}\r\n\te\u{200b}";
        assert_eq!(line(hostile), "a\\u{1b}[2Jb\\u{9b}31mc\\u{202e}d\\u{7f}\\r\\n\\te\\u{200b}");
        assert_eq!(lines("a\u{7}\nb"), "a\\u{7}\nb");
        assert_eq!(line("Zürich 温度"), "Zürich 温度");
    }

    #[test]
    fn json_means_the_same() {
        let value = serde_json::json!({"name": "a\u{1b}\u{9b}\u{202e}\n\u{7f}"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = json(&text);
        assert!(!shown.contains(|c| acts(c) && c != '\n'), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn cells_are_inert_and_can_be_taken_back() {
        for text in ["=1+1", "+1", "-1", "@a", "'a", "a", "", "\ta"] {
            let inert = cell(text);
            assert!(!inert.starts_with(['=', '+', '-', '@', '\t', '\r']), "{inert}");
            assert_eq!(inert.strip_prefix('\'').unwrap_or(&inert), text);
        }
    }
}
