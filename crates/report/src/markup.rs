//! HTML and SVG text that is escaped by construction: tags and attribute names are constants of the program, everything else is text.

use std::fmt::{self, Display, Write};

/// Attributes of an element: constant names, values that are escaped when written.
pub(crate) type Attrs<'a> = &'a [(&'static str, &'a dyn Display)];

/// A growing piece of markup. Text from outside can only enter through the methods that escape it.
#[derive(Debug, Default)]
pub(crate) struct Markup(String);

impl Markup {
    /// Markup written in this crate.
    pub(crate) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, escaped.
    pub(crate) fn text(&mut self, text: impl Display) -> &mut Self {
        escape(&mut self.0, &text);
        self
    }

    pub(crate) fn open(&mut self, tag: &'static str, attrs: Attrs<'_>) -> &mut Self {
        self.0.push('<');
        self.0.push_str(tag);
        for (name, value) in attrs {
            self.0.push(' ');
            self.0.push_str(name);
            self.0.push_str("=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        self.0.push('>');
        self
    }

    pub(crate) fn close(&mut self, tag: &'static str) -> &mut Self {
        self.0.push_str("</");
        self.0.push_str(tag);
        self.0.push('>');
        self
    }

    /// An element that holds only text.
    pub(crate) fn element(&mut self, tag: &'static str, attrs: Attrs<'_>, text: impl Display) -> &mut Self {
        self.open(tag, attrs).text(text).close(tag)
    }

    /// Other markup, already escaped.
    pub(crate) fn append(&mut self, other: &Markup) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// A length in a picture: one decimal is below what an eye can see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Px(pub(crate) f64);

impl Display for Px {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

fn escape(out: &mut String, value: &dyn Display) {
    struct Escaper<'a>(&'a mut String);
    impl Write for Escaper<'_> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for c in s.chars() {
                match c {
                    '&' => self.0.push_str("&amp;"),
                    '<' => self.0.push_str("&lt;"),
                    '>' => self.0.push_str("&gt;"),
                    '"' => self.0.push_str("&quot;"),
                    '\'' => self.0.push_str("&#39;"),
                    // Control characters are not allowed in a page.
                    c if c.is_control() && !matches!(c, '\n' | '\t') => self.0.push('\u{fffd}'),
                    c => self.0.push(c),
                }
            }
            Ok(())
        }
    }
    // Writing to a String cannot fail; a Display that reports an error has written what it could.
    let _ = write!(Escaper(out), "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attribute_values_are_escaped() {
        let mut m = Markup::default();
        m.element("p", &[("title", &"\"><script>")], "a < b & 'c'\u{7}");
        assert_eq!(m.finish(), "<p title=\"&quot;&gt;&lt;script&gt;\">a &lt; b &amp; &#39;c&#39;\u{fffd}</p>");
    }
}
