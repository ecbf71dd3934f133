//! Tables for people: as wide as the window and never wider, so that no row is wrapped into the next.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns are not made narrower than this before ids are cut, nor ids before the line is.
const NARROW: usize = 8;
const GAP: &str = "  ";

/// One table; cells hold no control characters.
pub(super) struct Table {
    titles: Vec<&'static str>,
    /// Which columns are cut last: an id with its end missing is of no use.
    ids: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(titles: Vec<&'static str>, ids: Vec<bool>) -> Self {
        Self { titles, ids, rows: Vec::new() }
    }

    pub(super) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The whole, no line of it wider than the window.
    pub(super) fn render(&self, window: Option<usize>, titled: bool) -> String {
        let mut widths: Vec<usize> =
            self.titles.iter().map(|title| if titled { title.width() } else { 0 }).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if let Some(window) = window {
            let gaps = GAP.len() * widths.len().saturating_sub(1);
            let room = window.saturating_sub(gaps);
            shrink(&mut widths, |column| !self.ids.get(column).copied().unwrap_or_default(), room);
            shrink(&mut widths, |_| true, room);
        }
        let mut text = String::new();
        let titles = self.titles.iter().map(|title| (*title).to_owned()).collect();
        for row in titled.then_some(&titles).into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if at > 0 {
                    line.push_str(GAP);
                }
                let cell = cut(cell, *width);
                let padding = width.saturating_sub(cell.width());
                line.push_str(&cell);
                line.push_str(&" ".repeat(padding));
            }
            let line = line.trim_end();
            text.push_str(&window.map_or_else(|| line.to_owned(), |window| cut(line, window)));
            text.push('\n');
        }
        text
    }
}

/// Takes from the widest column, again and again, until all fit or all are narrow.
fn shrink(widths: &mut [usize], may: impl Fn(usize) -> bool, room: usize) {
    while widths.iter().sum::<usize>() > room {
        let widest = widths.iter_mut().enumerate().filter(|(at, width)| may(*at) && **width > NARROW);
        match widest.max_by_key(|(_, width)| **width) {
            Some((_, width)) => *width -= 1,
            None => break,
        }
    }
}

/// The text, or as much of it as fits with a `…` behind it.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let more = c.width().unwrap_or_default();
        if used + more + 1 > width {
            break;
        }
        used += more;
        kept.push(c);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_window() {
        let mut table = Table::new(vec!["ID", "NAME", "NOTE"], vec![true, false, false]);
        table.push(vec![
            "0190c8a0-0000-7000-8000-000000000001".into(),
            "温度センサー".repeat(20),
            "x".repeat(500),
        ]);
        table.push(vec!["0190c8a0-0000-7000-8000-000000000002".into(), "a".into(), String::new()]);
        for window in [1, 2, 5, 20, 40, 60, 80, 200] {
            for line in table.render(Some(window), true).lines() {
                assert!(line.width() <= window, "{window}: {line}");
            }
        }
        let usual = table.render(Some(80), true);
        assert!(usual.contains("0190c8a0-0000-7000-8000-000000000002  a"), "{usual}");
        assert!(usual.contains('…'), "{usual}");
        assert!(table.render(None, true).contains(&"x".repeat(500)));
    }

    #[test]
    fn wide_characters_are_not_cut_in_two() {
        assert_eq!(cut("温度センサー", 5), "温度…");
        assert_eq!(cut("温度", 4), "温度");
        assert_eq!(cut("温度", 0), "");
    }
}
