//! A page as SVG.

use super::{
    super::inert,
    sheet::{Mark, Page, count},
};

/// The whole file.
pub(super) fn render(page: &Page) -> String {
    let (width, height) = (page.grid.width, page.grid.height);
    let mut svg = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}pt\" \
         height=\"{height}pt\" viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, sans-serif\" \
         text-anchor=\"middle\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for mark in page.marks() {
        match mark {
            Mark::Squares { x, y, side, code } => {
                // Drawn in squares of 1 and scaled, so that neighbours meet exactly.
                svg.push_str(&format!(
                    "<path transform=\"translate({x:.3} {y:.3}) scale({side:.5})\" shape-rendering=\"crispEdges\" d=\""
                ));
                for (row, column, many) in code.runs() {
                    svg.push_str(&format!("M{column} {row}h{many}v1h-{many}z"));
                }
                svg.push_str("\"/>\n");
            }
            Mark::Text { text: "", .. } => {}
            Mark::Text { x, y, size, room, text } => {
                let (shown, wide) = fitting(text, size, room);
                // What is still too wide in the viewer's font is pressed together, not over the neighbour.
                let pressed = if wide {
                    format!(" textLength=\"{room:.1}\" lengthAdjust=\"spacingAndGlyphs\"")
                } else {
                    String::new()
                };
                svg.push_str(&format!(
                    "<text x=\"{x:.2}\" y=\"{y:.2}\" font-size=\"{size:.2}\"{pressed}>{}</text>\n",
                    escaped(&shown)
                ));
            }
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// As much of the text as there is room for, and whether it is about as wide as that.
pub(super) fn fitting(text: &str, size: f32, room: f32) -> (String, bool) {
    let text = inert::line(text);
    // A letter of Helvetica is about half as wide as high, one of CJK as wide as high.
    let width = |text: &str| count(unicode_width::UnicodeWidthStr::width(text)) * size * 0.52;
    if width(&text) <= room {
        return (text.into_owned(), false);
    }
    let mut columns = unicode_width::UnicodeWidthStr::width(&*text);
    loop {
        let cut = super::super::table::cut(&text, columns);
        if width(&cut) <= room || columns < 3 {
            return (cut, true);
        }
        columns -= 1;
    }
}

fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            '"' => shown.push_str("&quot;"),
            // XML has no place for these, however they are written.
            '\u{fffe}' | '\u{ffff}' => shown.push('\u{fffd}'),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            camera,
            code::Content,
            sheet::{Grid, Label},
        },
        *,
    };

    /// What a camera would read from the page: its only code, drawn from the SVG itself.
    fn scanned(svg: &str) -> String {
        let path = svg.split("d=\"").nth(1).unwrap().split('"').next().unwrap();
        let runs = path.split('M').skip(1).map(|run| {
            let (start, rest) = run.split_once('h').unwrap();
            let (column, row) = start.split_once(' ').unwrap();
            let many = rest.split('v').next().unwrap();
            (column.parse().unwrap(), row.parse().unwrap(), many.parse().unwrap())
        });
        camera::scanned(runs)
    }

    fn page(name: &str, key: &str, code: Option<&str>) -> String {
        let mut page = Grid::new(false, 3, 8).page();
        let content = Content::parse(code).unwrap();
        let code = content.of("0190c8a0-0000-7000-8000-000000000001", name, Some(key)).unwrap();
        page.push(Label { code, name: name.to_owned(), below: key.to_owned() });
        render(&page)
    }

    #[test]
    fn codes_say_what_they_should_however_hostile_or_long() {
        let long = "0123456789abcdef".repeat(32);
        for key in [
            "SN-004217",
            "12345",
            "ÄÖ ü 温度",
            "</text><script>&\"'",
            "a\u{1b}[2J\u{0}b",
            "=1+1",
            " lead",
            &long,
        ] {
            assert_eq!(scanned(&page("A thing", key, None)), key);
        }
        let url = page("A thing", "SN 1/ü", Some("https://example.com/c/{id}?k={external_key}"));
        assert_eq!(
            scanned(&url),
            "https://example.com/c/0190c8a0-0000-7000-8000-000000000001?k=SN%201%2F%C3%BC"
        );
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let svg = page("</text><script>alert(1)</script>\u{1b}\u{0}\u{ffff}", "a&b<c>\"d", None);
        assert!(!svg.contains("<script") && !svg.contains('\u{1b}') && !svg.contains('\u{0}'), "{svg}");
        assert!(svg.contains("a&amp;b&lt;c&gt;&quot;d"), "{svg}");
    }

    #[test]
    fn long_names_are_cut() {
        let (shown, wide) = fitting(&"温度".repeat(500), 8.0, 170.0);
        assert!(wide && shown.ends_with('…') && shown.chars().count() < 40, "{shown}");
        assert_eq!(fitting("short", 8.0, 170.0), ("short".to_owned(), false));
    }
}
