//! `things labels`: sheets of labels to print, a code for scanning on each.

mod code;
mod pdf;
mod sheet;
mod svg;

use std::path::{Path, PathBuf};

use clap::{Command, value_parser};
use serde::Deserialize;

use self::{
    code::Content,
    sheet::{Grid, Label, Page},
};
use super::{
    Failure,
    asked::{Asked, note},
    given::{file, option},
    output::counted,
    progress::interruptible,
    secrets::Whole,
};

/// A PDF is put together in memory: about 10 KB for a label.
const MOST_IN_PDF: usize = 10_000;

pub(super) fn command() -> Command {
    let count = |name, help: &'static str| {
        option(name, "NUMBER", help).value_parser(value_parser!(u64).range(1..=20))
    };
    Command::new("labels")
        .about("Make sheets of labels for the things of --group: a QR code, the name, the external key")
        .long_about(
            "Makes sheets of labels for the things of --group, in the order in which they were made: on each a QR code, and \
             below it the name and the external key. A PDF holds all pages; of SVG there is a file for each page, \
             labels-1.svg and so on, unless there is only one.",
        )
        .arg(file("to", "Where to: a name that ends with .pdf or .svg; files that exist are replaced").required(true))
        .arg(option("size", "SIZE", "a4 or letter [default: a4]").value_parser(["a4", "letter"]))
        .arg(count("columns", "Labels side by side [default: 3]"))
        .arg(count("rows", "Labels one below the other [default: 8]"))
        .arg(option(
            "code",
            "CODE",
            "What the code says: external-key, id, or an address with {id} or {external_key} in it [default: the \
             external key, or the id of a thing that has none]",
        ))
}

/// What is needed of a thing, as it is exported.
#[derive(Deserialize)]
struct Exported {
    id: String,
    name: String,
    external_key: Option<String>,
}

pub(super) async fn run(asked: &Asked<'_>) -> Result<(), Failure> {
    let given = &asked.given;
    let Some(to) = given.path("to") else { return Ok(()) };
    let content = Content::parse(given.text("code"))?;
    let count =
        |name, usual| given.number(name).and_then(|count| usize::try_from(count).ok()).unwrap_or(usual);
    let grid = Grid::new(given.text("size") == Some("letter"), count("columns", 3), count("rows", 8));
    let mut sheets = Sheets::begin(to)?;
    let group =
        asked.group().await?.ok_or_else(|| Failure::Usage("say of which group: --group".to_owned()))?;
    interruptible(
        || "the labels are not whole".to_owned(),
        print(asked, &group, &content, grid, &mut sheets),
    )
    .await?;
    sheets.finish(asked)
}

async fn print(
    asked: &Asked<'_>,
    group: &str,
    content: &Content,
    grid: Grid,
    sheets: &mut Sheets,
) -> Result<(), Failure> {
    let failed = |error| Failure::asking("read the group's things", &error);
    let request = asked.client.get(&format!("/groups/{group}/export")).query("format", "ndjson");
    let mut things = request.accept("*/*").stream().await.map_err(failed)?.lines();
    let mut page = grid.page();
    while let Some(thing) = things.next::<Exported>().await.map_err(failed)? {
        let code = content.of(&thing.id, &thing.name, thing.external_key.as_deref())?;
        page.push(Label { code, name: thing.name, below: thing.external_key.unwrap_or_default() });
        sheets.labels += 1;
        if page.is_full() {
            sheets.page(std::mem::replace(&mut page, grid.page()))?;
        }
    }
    if !page.is_empty() {
        sheets.page(page)?;
    }
    Ok(())
}

/// The pages, as they are made.
struct Sheets {
    to: PathBuf,
    kind: Kind,
    labels: usize,
    pages: usize,
}

enum Kind {
    /// The first page waits until it is known whether there is another. None is under its name before all are whole.
    Svg {
        first: Option<Box<Page>>,
        pages: Vec<Whole>,
    },
    Pdf(Box<pdf::Document>),
}

impl Sheets {
    fn begin(to: &Path) -> Result<Self, Failure> {
        let kind = match to.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => Kind::Svg { first: None, pages: Vec::new() },
            Some("pdf") => Kind::Pdf(Box::default()),
            _ => {
                return Err(Failure::Usage(format!(
                    "--to {}: the name must end with .pdf or .svg",
                    to.display()
                )));
            }
        };
        Ok(Self { to: to.to_owned(), kind, labels: 0, pages: 0 })
    }

    fn page(&mut self, page: Page) -> Result<(), Failure> {
        self.pages += 1;
        match &mut self.kind {
            Kind::Pdf(_) if self.labels > MOST_IN_PDF => Err(Failure::Failed(format!(
                "a PDF holds at most {MOST_IN_PDF} labels, and nothing is written; use SVG, which is a file for each page"
            ))),
            Kind::Pdf(document) => {
                document.page(&page);
                Ok(())
            }
            Kind::Svg { first, .. } if self.pages == 1 => {
                *first = Some(Box::new(page));
                Ok(())
            }
            Kind::Svg { first, pages } => {
                if let Some(first) = first.take() {
                    pages.push(written(&numbered(&self.to, 1), svg::render(&first).as_bytes())?);
                }
                pages.push(written(&numbered(&self.to, self.pages), svg::render(&page).as_bytes())?);
                Ok(())
            }
        }
    }

    fn finish(self, asked: &Asked<'_>) -> Result<(), Failure> {
        if self.labels == 0 {
            return Err(Failure::not_found("the group has no things, so there are no labels".to_owned()));
        }
        let mut to = self.to.display().to_string();
        let count = |number, noun| counted(u64::try_from(number).unwrap_or_default(), noun);
        match self.kind {
            Kind::Svg { first: Some(only), .. } => {
                written(&self.to, svg::render(&only).as_bytes())?.finish()?
            }
            Kind::Svg { first: None, pages } => {
                pages.into_iter().try_for_each(Whole::finish)?;
                to = format!(
                    "{} to {}",
                    numbered(&self.to, 1).display(),
                    numbered(&self.to, self.pages).display()
                );
            }
            Kind::Pdf(document) => {
                let foreign = document.foreign;
                written(&self.to, &document.finish())?.finish()?;
                if foreign > 0 {
                    let (labels, have) = (count(foreign, "label"), if foreign == 1 { "has" } else { "have" });
                    note(&format!(
                        "{labels} {have} letters that the PDF's font lacks; there is a ? for each. SVG shows all"
                    ));
                }
            }
        }
        asked.out.say(&format!("{} on {}: {to}", count(self.labels, "label"), count(self.pages, "page")))
    }
}

/// A file that needs nothing but its name.
fn written(path: &Path, bytes: &[u8]) -> Result<Whole, Failure> {
    let mut whole = Whole::begin(path, false)?;
    whole.write(bytes)?;
    whole.close()?;
    Ok(whole)
}

/// `labels.svg` → `labels-2.svg`.
fn numbered(path: &Path, page: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{page}.svg"))
}

#[cfg(test)]
mod camera {
    /// What a camera would read where these runs of squares are dark: column, row, how many.
    pub(super) fn scanned(runs: impl Iterator<Item = (usize, usize, usize)>) -> String {
        let dark: std::collections::HashSet<_> = runs
            .flat_map(|(column, row, many)| (column..column + many).map(move |column| (column, row)))
            .collect();
        let width = dark.iter().map(|(column, _)| column + 1).max().unwrap();
        let (scale, quiet) = (4, 4);
        let side = (width + 2 * quiet) * scale;
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| {
            let (column, row) = (x / scale, y / scale);
            let within = column >= quiet && row >= quiet;
            if within && dark.contains(&(column - quiet, row - quiet)) { 0 } else { 255 }
        });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "one code is found");
        let mut bytes = Vec::new();
        grids[0].decode_to(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}
