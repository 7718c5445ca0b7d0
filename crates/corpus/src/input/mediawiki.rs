//! MediaWiki's XML dumps.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

use quick_xml::Reader;
use quick_xml::events::Event;

use super::MAX_RECORD_BYTES;
use super::markup::{entity, strip_markup};
use super::pending::Records;
use crate::error::{Error, Result};

/// The pages of a dump: those of the main namespace that are no redirects, their newest revision in the file, without markup.
pub(super) struct Dump<R> {
    xml: Reader<Bounded<R>>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Some element was seen: a file without any is no dump.
    seen: bool,
}

/// Which element of a page is being read.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    Elsewhere,
    Namespace,
    Text,
}

/// A page so far.
struct Page {
    namespace: String,
    text: String,
    redirect: bool,
}

impl<R: BufRead> Dump<R> {
    pub fn new(input: R, path: &Path) -> Self {
        let mut xml = Reader::from_reader(Bounded { input, left: 0 });
        xml.config_mut().check_end_names = true;
        xml.config_mut().allow_dangling_amp = true;
        Self { xml, path: path.to_owned(), buffer: Vec::new(), seen: false }
    }

    fn bad(&self, reason: impl Into<String>) -> Error {
        Error::input(&self.path, format!("byte {} of the XML", self.xml.buffer_position() + 1), reason)
    }
}

impl<R: BufRead + Send> Records for Dump<R> {
    fn next_text(&mut self) -> Result<Option<String>> {
        let (mut page, mut element) = (None::<Page>, Element::Elsewhere);
        let (mut depth, mut too_long) = (0_usize, false);
        loop {
            self.buffer.clear();
            self.xml.get_mut().left = MAX_RECORD_BYTES;
            let event = self.xml.read_event_into(&mut self.buffer);
            let event = match event {
                Ok(event) => event,
                Err(e) => {
                    let reason = format!("{e}; is the file cut short or no XML?");
                    let at = self.xml.error_position() + 1;
                    return Err(Error::input(&self.path, format!("byte {at} of the XML"), reason));
                }
            };
            match event {
                Event::Start(tag) => {
                    self.seen = true;
                    depth += 1;
                    match tag.local_name().into_inner() {
                        "page" => page = Some(Page { namespace: String::new(), text: String::new(), redirect: false }),
                        "ns" => element = Element::Namespace,
                        "redirect" => page.iter_mut().for_each(|page| page.redirect = true),
                        "text" => {
                            element = Element::Text;
                            page.iter_mut().for_each(|page| page.text.clear());
                        }
                        _ => {}
                    }
                }
                Event::Empty(tag) => {
                    self.seen = true;
                    if tag.local_name().into_inner() == "redirect" {
                        page.iter_mut().for_each(|page| page.redirect = true);
                    }
                }
                Event::End(tag) => {
                    depth = depth.saturating_sub(1);
                    element = Element::Elsewhere;
                    if tag.local_name().into_inner() == "page"
                        && let Some(page) = page.take().filter(Page::counts)
                    {
                        return Ok(Some(strip_markup(&page.text)));
                    }
                }
                Event::Text(text) => too_long |= !append(&mut page, element, &text.xml10_content()),
                Event::CData(text) => too_long |= !append(&mut page, element, &text.xml10_content()),
                Event::GeneralRef(name) => {
                    let text = entity(&name).unwrap_or_else(|| format!("&{};", &*name));
                    too_long |= !append(&mut page, element, &text);
                }
                Event::Eof if depth > 0 && page.is_some() => {
                    return Err(self.bad("the file ends within a page; is it cut short?"));
                }
                Event::Eof if !self.seen => return Err(self.bad("no XML element in the file")),
                Event::Eof => return Ok(None),
                _ => {}
            }
            if too_long {
                return Err(self.bad(format!("the text of a page is longer than {MAX_RECORD_BYTES} bytes")));
            }
        }
    }
}

/// Adds text where it belongs; false where it becomes too long.
fn append(page: &mut Option<Page>, element: Element, text: &str) -> bool {
    let Some(page) = page else { return true };
    let to = match element {
        Element::Elsewhere => return true,
        Element::Namespace => &mut page.namespace,
        Element::Text => &mut page.text,
    };
    let fits = to.len() + text.len() <= MAX_RECORD_BYTES;
    if fits {
        to.push_str(text);
    }
    fits
}

impl Page {
    /// An article: extracts without `<ns>` are taken as they are.
    fn counts(&self) -> bool {
        let text = self.text.trim_start();
        let redirect = self.redirect || text.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("#redirect"));
        !redirect && matches!(self.namespace.trim(), "" | "0")
    }
}

/// Refuses to hand out more than `left` bytes, so that an element without end does not fill the memory.
struct Bounded<R> {
    input: R,
    left: usize,
}

impl<R: BufRead> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Bounded<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            let reason = format!("one piece of the XML is longer than {MAX_RECORD_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.input.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::all;
    use crate::input::pending::RecordDocuments;

    fn read(text: &str) -> Result<Vec<String>> {
        all(RecordDocuments::new(Dump::new(text.as_bytes(), Path::new("dump.xml"))))
    }

    fn page(ns: u32, extra: &str, text: &str) -> String {
        format!(
            "<page><title>T</title><ns>{ns}</ns>{extra}<revision><id>1</id><text xml:space=\"preserve\">{text}</text></revision></page>\n"
        )
    }

    #[test]
    fn articles_come_without_markup_redirects_and_other_namespaces() {
        let dump = format!(
            "<?xml version=\"1.0\"?>\n<mediawiki><siteinfo><text>no</text></siteinfo>\n{}{}{}{}{}</mediawiki>",
            page(0, "", "'''Ant''' &amp; [[bee|bees]] &lt;ref&gt;x&lt;/ref&gt;are.\n\n== H ==\nEnd&#46;"),
            page(1, "", "Talk"),
            page(0, "<redirect title=\"A\" />", "#REDIRECT [[A]]"),
            page(0, "", "#redirect [[B]]"),
            page(0, "", "<![CDATA[Last < one.]]>"),
        );
        assert_eq!(read(&dump).unwrap(), ["Ant & bees are.\nEnd.\n", "Last < one.\n"]);
    }

    #[test]
    fn what_is_cut_or_no_xml_is_an_error_with_its_byte() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        let cut = message("<mediawiki><page><text>abc");
        assert!(cut.starts_with("dump.xml, byte ") && cut.contains("cut short"), "{cut}");
        assert!(message("<mediawiki><page></mediawiki>").contains("dump.xml, byte "));
        assert!(message("plain text").contains("no XML element"));
        let endless = format!("<page><text>{}", "a".repeat(MAX_RECORD_BYTES + 10));
        assert!(message(&endless).contains("longer than"), "{}", message(&endless));
    }
}
