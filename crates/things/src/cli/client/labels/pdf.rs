//! Pages as PDF: squares drawn as such, and Helvetica, which every viewer has.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};

use super::{
    super::inert,
    sheet::{Mark, Page, count},
};

const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const FONT: Ref = Ref::new(3);
const FONT_NAME: Name<'static> = Name(b"F");

/// The document being made.
pub(super) struct Document {
    pdf: Pdf,
    pages: Vec<Ref>,
    next: i32,
    /// How many labels have letters that the font lacks.
    pub(super) foreign: usize,
}

impl Default for Document {
    fn default() -> Self {
        Self { pdf: Pdf::new(), pages: Vec::new(), next: 4, foreign: 0 }
    }
}

impl Document {
    fn fresh(&mut self) -> Ref {
        let fresh = Ref::new(self.next);
        self.next += 1;
        fresh
    }

    pub(super) fn page(&mut self, page: &Page) {
        let (id, content) = (self.fresh(), self.fresh());
        let (width, height) = (page.grid.width, page.grid.height);
        let mut drawn = Content::new();
        for mark in page.marks() {
            match mark {
                Mark::Squares { x, y, side, code } => {
                    drawn.save_state();
                    // Squares of 1, counted from the upper left.
                    drawn.transform([side, 0.0, 0.0, -side, x, height - y]);
                    for (row, column, many) in code.runs() {
                        drawn.rect(count(column), count(row), count(many), 1.0);
                    }
                    drawn.fill_nonzero();
                    drawn.restore_state();
                }
                Mark::Text { text: "", .. } => {}
                Mark::Text { x, y, size, room, text } => {
                    let (letters, foreign) = encoded(&inert::line(text));
                    self.foreign += usize::from(foreign);
                    let letters = fitting(letters, size, room);
                    drawn.begin_text();
                    drawn.set_font(FONT_NAME, size);
                    drawn.next_line(x - width_of(&letters, size) / 2.0, height - y);
                    drawn.show(Str(&letters));
                    drawn.end_text();
                }
            }
        }
        self.pdf.stream(content, &drawn.finish());
        let mut written = self.pdf.page(id);
        written.parent(PAGES).media_box(Rect::new(0.0, 0.0, width, height)).contents(content);
        written.resources().fonts().pair(FONT_NAME, FONT);
        written.finish();
        self.pages.push(id);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.pdf.catalog(CATALOG).pages(PAGES);
        let pages = i32::try_from(self.pages.len()).unwrap_or(i32::MAX);
        self.pdf.pages(PAGES).kids(self.pages).count(pages);
        self.pdf.type1_font(FONT).base_font(Name(b"Helvetica")).encoding_predefined(Name(b"WinAnsiEncoding"));
        self.pdf.finish()
    }
}

/// In the font's encoding, WinAnsi; `?` for what it lacks, and whether there was any.
fn encoded(text: &str) -> (Vec<u8>, bool) {
    /// What is at 0x80 to 0x9f; nothing where there is none.
    const UPPER: &str = "€\0‚ƒ„…†‡ˆ‰Š‹Œ\0Ž\0\0‘’“”•–—˜™š›œ\0žŸ";
    let mut foreign = false;
    let letters = text.chars().map(|c| match u32::from(c) {
        code @ (0x20..=0x7e | 0xa0..=0xff) => u8::try_from(code).unwrap_or(b'?'),
        _ => match (0x80..).zip(UPPER.chars()).find(|(_, upper)| *upper == c) {
            Some((code, _)) => code,
            None => {
                foreign = true;
                b'?'
            }
        },
    });
    (letters.collect(), foreign)
}

/// Of Helvetica, in thousandths of its size, from the space to the tilde.
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

fn width_of(letters: &[u8], size: f32) -> f32 {
    // Letters with accents are about as wide as the widest of the small ones.
    let width = |letter: &u8| {
        letter.checked_sub(32).and_then(|at| WIDTHS.get(usize::from(at))).copied().unwrap_or(667)
    };
    letters.iter().map(|letter| f32::from(width(letter))).sum::<f32>() * size / 1000.0
}

/// As many as there is room for, with an ellipsis if these are not all.
fn fitting(mut letters: Vec<u8>, size: f32, room: f32) -> Vec<u8> {
    const ELLIPSIS: u8 = 0x85;
    if width_of(&letters, size) <= room {
        return letters;
    }
    // Long before this there is no room left.
    letters.truncate(1000);
    letters.push(ELLIPSIS);
    while letters.len() > 1 && width_of(&letters, size) > room {
        letters.pop();
        letters.pop();
        letters.push(ELLIPSIS);
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            camera,
            code::Code,
            sheet::{Grid, Label},
        },
        *,
    };

    #[test]
    fn letters_are_those_of_the_font() {
        assert_eq!(encoded("aÄ€…"), (vec![b'a', 0xc4, 0x80, 0x85], false));
        assert_eq!(encoded("温a"), (b"?a".to_vec(), true));
        let cut = fitting(vec![b'W'; 3000], 8.0, 100.0);
        assert!(width_of(&cut, 8.0) <= 100.0 && cut.last() == Some(&0x85) && cut.len() > 5, "{cut:?}");
    }

    #[test]
    fn codes_are_read_from_the_page_itself() {
        let mut page = Grid::new(false, 1, 1).page();
        page.push(Label {
            code: Code::new("SN-004217 ü").unwrap(),
            name: "a".to_owned(),
            below: String::new(),
        });
        let mut document = Document::default();
        document.page(&page);
        let pdf = String::from_utf8_lossy(&document.finish()).into_owned();
        let numbers = |line: &str| -> Vec<f32> {
            line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
        };
        let placed = numbers(pdf.lines().find(|line| line.ends_with(" cm")).unwrap());
        assert!(placed[0] > 0.0 && placed[3] == -placed[0], "squares, the first row above: {placed:?}");
        let runs = pdf.lines().filter(|line| line.ends_with(" re")).map(|line| {
            let whole: Vec<usize> =
                line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            assert_eq!((whole.len(), whole[3]), (4, 1), "{line}");
            (whole[0], whole[1], whole[2])
        });
        assert_eq!(camera::scanned(runs), "SN-004217 ü");
    }

    #[test]
    fn a_document_has_all_pages_and_counts_foreign_letters() {
        let mut document = Document::default();
        for names in [["Boiler (room)", "温度"], ["\\)", "d"]] {
            let mut page = Grid::new(true, 1, 2).page();
            for name in names {
                let code = Code::new("SN-1").unwrap();
                page.push(Label { code, name: name.to_owned(), below: String::new() });
            }
            assert!(page.is_full());
            document.page(&page);
        }
        assert_eq!(document.foreign, 1);
        let pdf = String::from_utf8_lossy(&document.finish()).into_owned();
        assert!(pdf.starts_with("%PDF-") && pdf.trim_end().ends_with("%%EOF"));
        assert!(pdf.contains("/Count 2") && pdf.contains("/WinAnsiEncoding"), "{pdf}");
    }
}
