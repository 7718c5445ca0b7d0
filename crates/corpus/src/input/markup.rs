//! Plain text out of wiki markup.

/// Elements whose content is no prose, separated by spaces.
const DROPPED: &str =
    "ref math gallery timeline syntaxhighlight source pre code imagemap score chem templatedata mapframe graph table";
/// Names of entities that occur in texts, each with what it stands for.
const ENTITIES: &str = "\
    amp & lt < gt > quot \" apos ' ndash – mdash — minus − hellip … lsquo ‘ rsquo ’ ldquo “ rdquo ” times × deg ° middot · \
    bull • prime ′ Prime ″ frac12 ½ pound £ euro € cent ¢ yen ¥ sect § copy © reg ® trade ™ plusmn ± sup2 ² sup3 ³ micro µ \
    alpha α beta β gamma γ pi π rarr → larr ← laquo « raquo » eacute é egrave è aacute á agrave à iacute í oacute ó \
    uacute ú ntilde ñ ccedil ç auml ä ouml ö uuml ü szlig ß";
/// Links into these namespaces are pictures and categories, not text.
const NO_TEXT: [&str; 5] = ["file", "image", "category", "media", "wikipedia"];

/// Plain text out of MediaWiki's markup, one paragraph per line.
///
/// Dropped: comments, templates `{{}}`, tables `{| |}`, references, formulas, code and galleries, pictures and categories, headings,
/// magic words, and every other HTML tag without its content. Kept: the visible part of links, list items without their marks, text
/// in bold and italics. Entities are decoded. What a template would have shown is lost, since templates are not expanded; that leaves
/// gaps such as empty brackets, which are removed where nothing else is in them.
pub fn strip_markup(text: &str) -> String {
    let text = without_comments(text);
    let text = without_elements(&text);
    let text = without_nested(&text, ["{{", "}}"]);
    let text = without_nested(&text, ["{|", "|}"]);
    let text = links(&text);
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let line = line.trim();
        let heading = line.starts_with('=') && line.ends_with('=');
        let magic = line.starts_with("__") && line.ends_with("__");
        if line.is_empty()
            || heading
            || magic
            || line.starts_with("{|")
            || line.starts_with('|')
            || line.starts_with('!')
        {
            continue;
        }
        let line = line.trim_start_matches(['*', '#', ':', ';']).trim();
        let line = decode_entities(&without_quotes(line));
        let line = squeeze(&line);
        if line.chars().any(char::is_alphanumeric) {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

/// Drops runs of two apostrophes or more, which stand for italics and bold.
fn without_quotes(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\'') {
        let run = rest[at..].len() - rest[at..].trim_start_matches('\'').len();
        out.push_str(&rest[..at + usize::from(run == 1)]);
        rest = &rest[at + run..];
    }
    out + rest
}

fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!--") {
        out.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    out + rest
}

/// Drops tags, and the content of those in [`DROPPED`].
fn without_elements(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let tag = &rest[at..];
        let Some(end) = tag.find('>').filter(|end| is_tag(&tag[1..*end])) else {
            out.push('<');
            rest = &tag[1..];
            continue;
        };
        let inside = &tag[1..end];
        rest = &tag[end + 1..];
        let name: String =
            inside.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        if name == "br" {
            out.push('\n');
        }
        if DROPPED.split(' ').any(|dropped| dropped == name) && !inside.ends_with('/') {
            // One that is never closed ends with its line.
            let line = rest.find('\n').unwrap_or(rest.len());
            rest = closing(rest, &name).map_or(&rest[line..], |end| &rest[end..]);
        }
    }
    out + rest
}

/// What stands between `<` and `>` may be a tag: a name, perhaps after a slash, and no other `<`.
fn is_tag(inside: &str) -> bool {
    let name = inside.strip_prefix('/').unwrap_or(inside);
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && !inside.contains('<')
}

/// Where the closing tag of `name` ends.
fn closing(text: &str, name: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text[from..].find("</") {
        let start = from + at + 2;
        if text.get(start..start + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return text[start..].find('>').map(|end| start + end + 1);
        }
        from = start;
    }
    None
}

/// Drops what stands between the two marks, which may be nested; an opening mark without its closing one is left as text.
fn without_nested(text: &str, [open, close]: [&str; 2]) -> String {
    let mut out = String::with_capacity(text.len());
    // For each open mark: where it began in `out`.
    let mut opened: Vec<usize> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find([open.as_bytes()[0] as char, close.as_bytes()[0] as char]) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(open) {
            opened.push(out.len());
            out.push_str(open);
            rest = after;
        } else if let (Some(after), Some(start)) = (rest.strip_prefix(close), opened.last().copied()) {
            opened.pop();
            out.truncate(start);
            rest = after;
        } else {
            let length = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out + rest
}

/// `[[a|b]]` and `[[b]]` become `b`, `[http://x b]` becomes `b`; pictures and categories vanish with what is nested in them.
fn links(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut opened: Vec<usize> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['[', ']']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("[[") {
            opened.push(out.len());
            rest = after;
        } else if let (Some(after), Some(start)) = (rest.strip_prefix("]]"), opened.last().copied()) {
            opened.pop();
            let inside = out.split_off(start);
            out.push_str(visible(&inside));
            rest = after;
        } else if let Some((shown, after)) = external(rest) {
            out.push_str(shown);
            rest = after;
        } else {
            out.push_str(&rest[..1]);
            rest = &rest[1..];
        }
    }
    out + rest
}

fn visible(inside: &str) -> &str {
    let target = inside.split('|').next().unwrap_or_default();
    let space = target.trim_start().split_once(':').map(|(space, _)| space.trim().to_ascii_lowercase());
    if space.is_some_and(|space| NO_TEXT.contains(&space.as_str())) {
        return "";
    }
    inside.rsplit('|').next().unwrap_or_default()
}

/// The shown text of `[http://x shown]` and what follows.
fn external(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('[')?;
    let (link, after) = inside.split_once(']')?;
    let is_link = ["http://", "https://", "//", "ftp://", "mailto:"].iter().any(|scheme| link.starts_with(scheme));
    (is_link && !link.contains('\n')).then(|| (link.split_once(' ').map_or("", |(_, shown)| shown), after))
}

/// One space between words, none before punctuation, no brackets around nothing.
fn squeeze(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        let c = if c.is_whitespace() { ' ' } else { c };
        match c {
            ' ' if out.ends_with([' ', '(']) || out.is_empty() => {}
            ',' | '.' | ')' | ';' if out.ends_with(' ') => {
                out.pop();
                out.push(c);
            }
            _ => out.push(c),
        }
        if c == ')' && out.ends_with("()") {
            out.truncate(out.len() - 2);
            if out.ends_with(' ') {
                out.pop();
            }
        }
    }
    out.trim_end().to_owned()
}

/// Decodes character references and the names that occur in texts; others stay as they are.
pub(super) fn decode_entities(text: &str) -> String {
    const LONGEST: usize = 10;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let found = after.find(';').filter(|end| *end <= LONGEST).and_then(|end| Some((entity(&after[..end])?, end)));
        match found {
            Some((decoded, end)) => {
                out.push_str(&decoded);
                rest = &after[end + 1..];
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out + rest
}

/// What the entity `name`, without `&` and `;`, stands for.
pub(super) fn entity(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return code.ok().and_then(char::from_u32).filter(|c| *c != '\0').map(String::from);
    }
    let text = match name {
        "nbsp" | "thinsp" | "ensp" | "emsp" => " ",
        "shy" | "zwj" | "zwnj" | "lrm" | "rlm" => "",
        _ => {
            let mut words = ENTITIES.split(' ');
            let mut pairs = std::iter::from_fn(|| words.next().zip(words.next()));
            pairs.find(|(known, _)| *known == name)?.1
        }
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(markup: &str, plain: &str) {
        assert_eq!(strip_markup(markup), plain, "{markup}");
    }

    #[test]
    fn links_show_what_a_reader_sees() {
        check("A [[b]], [[c|d e]] and [https://x.org f g] [https://y.org] h.", "A b, d e and f g h.\n");
        check("[[File:x.jpg|thumb|A [[b]] caption]]Text [[Category:C]]", "Text\n");
        check("[[Fran&ccedil;ois|F]] [note] open [[ end", "F [note] open end\n");
    }

    #[test]
    fn templates_tables_references_and_comments_vanish() {
        check("A{{x|{{y}}|z}} b<ref name=\"a\">c {{d}}</ref>.<ref name=a /> E<!-- f\ng -->.", "A b. E.\n");
        check("{| class=\"w\"\n|-\n| a {| b |} c\n|}\nText (''{{lang|x}}'') here.", "Text here.\n");
        check("a <math>x^2</math><br/>b <b>c</b> 1 < 2 {{ open", "a\nb c 1 < 2 {{ open\n");
        check("a<ref>never closed\nb", "a\nb\n");
    }

    #[test]
    fn headings_lists_and_quotes_become_lines() {
        check("it's ''its'' '''''x'''''", "it's its x\n");
        check("== H ==\n* '''a''' ''b''\n#: c\n;d\n__TOC__\n----\n\n e&nbsp;&ndash; f", "a b\nc\nd\ne – f\n");
    }

    #[test]
    fn entities_are_decoded_and_unknown_ones_kept() {
        assert_eq!(
            decode_entities("a&amp;b &#65;&#x42; &unknown; & &#0; &#xffffffff; &lt;"),
            "a&b AB &unknown; & &#0; &#xffffffff; <"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_stripped(text in "(\\PC|\\[\\[|\\]\\]|\\{\\{|\\}\\}|\\{\\||\\|\\}|<|>|/|ref|&|;|#|\n|é){0,60}") {
            let plain = strip_markup(&text);
            proptest::prop_assert!(plain.lines().all(|line| !line.is_empty()));
        }
    }
}
