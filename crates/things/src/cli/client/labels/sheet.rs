//! Where things are on a page. Lengths are points, of which an inch has 72; the origin is the page's upper left.

use super::code::Code;

/// Around the page, which most printers cannot reach.
const MARGIN: f32 = 28.0;
/// Around what is on a label.
const PADDING: f32 = 4.0;
/// How many squares stay empty around a code, so that it is recognised.
const QUIET: f32 = 4.0;

/// One label.
pub(super) struct Label {
    pub(super) code: Code,
    pub(super) name: String,
    pub(super) below: String,
}

/// How pages are divided.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) width: f32,
    pub(super) height: f32,
    columns: usize,
    rows: usize,
}

/// A page being filled.
pub(super) struct Page {
    pub(super) grid: Grid,
    labels: Vec<Label>,
}

/// What is drawn.
pub(super) enum Mark<'a> {
    /// Filled.
    Squares { x: f32, y: f32, side: f32, code: &'a Code },
    /// Centred on `x`, its foot at `y`, no wider than `room`.
    Text { x: f32, y: f32, size: f32, room: f32, text: &'a str },
}

impl Grid {
    pub(super) fn new(letter: bool, columns: usize, rows: usize) -> Self {
        let (width, height) = if letter { (612.0, 792.0) } else { (595.28, 841.89) };
        Self { width, height, columns, rows }
    }

    pub(super) fn page(self) -> Page {
        Page { grid: self, labels: Vec::new() }
    }
}

impl Page {
    pub(super) fn push(&mut self, label: Label) {
        self.labels.push(label);
    }

    pub(super) fn is_full(&self) -> bool {
        self.labels.len() >= self.grid.columns * self.grid.rows
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Everything on the page.
    pub(super) fn marks(&self) -> impl Iterator<Item = Mark<'_>> {
        let Grid { width, height, columns, rows } = self.grid;
        let (cell_width, cell_height) =
            ((width - 2.0 * MARGIN) / count(columns), (height - 2.0 * MARGIN) / count(rows));
        self.labels.iter().enumerate().flat_map(move |(at, label)| {
            let left = MARGIN + count(at % columns) * cell_width;
            let top = MARGIN + count(at / columns) * cell_height;
            let room = cell_width - 2.0 * PADDING;
            // The text takes a quarter of the height, but stays legible and does not become a poster.
            let size = (cell_height * 0.09).clamp(4.0, 11.0);
            let line = size * 1.25;
            let space = (cell_height - 2.0 * PADDING - 2.0 * line).min(room).max(10.0);
            let side = space / (count(label.code.width) + 2.0 * QUIET);
            let inner = side * count(label.code.width);
            let middle = left + cell_width / 2.0;
            let foot = top + PADDING + space;
            [
                Mark::Squares {
                    x: middle - inner / 2.0,
                    y: top + PADDING + QUIET * side,
                    side,
                    code: &label.code,
                },
                Mark::Text { x: middle, y: foot + size, size, room, text: &label.name },
                Mark::Text { x: middle, y: foot + size + line, size: size * 0.9, room, text: &label.below },
            ]
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 400 labels of 177 squares")]
pub(super) fn count(count: usize) -> f32 {
    count as f32
}
