//! The parser: one pass over the text, with the blocks that are open on a stack, where variables are looked up.

use super::scalar;
use super::{BYTES_MAX, Block, Entry, GrammarError, INCLUDE_DEPTH_MAX, Item, NESTING_MAX, Place, Sources, Value};
use std::sync::Arc;

/// What is the same for all files of one config.
struct Shared<'s> {
    sources: &'s mut dyn Sources,
    bytes: usize,
}

pub(super) fn file(text: &str, name: &str, sources: &mut dyn Sources) -> Result<Block, GrammarError> {
    let mut shared = Shared { sources, bytes: 0 };
    Parser::new(text, name, 0, &mut shared)?.whole()
}

struct Parser<'t, 's, 'x> {
    text: &'t str,
    at: usize,
    name: Arc<str>,
    line: usize,
    /// Where the newline before this line is.
    line_start: usize,
    /// Files, or variables, that led here.
    depth: usize,
    nesting: usize,
    /// The blocks that are open, outermost first.
    scopes: Vec<Block>,
    shared: &'x mut Shared<'s>,
}

type Parsed<T> = Result<T, GrammarError>;

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn is_newline(c: char) -> bool {
    c == '\n' || c == '\r'
}

/// What ends an unquoted value.
fn ends_word(c: char) -> bool {
    is_blank(c) || is_newline(c) || matches!(c, ',' | ';' | ']' | '}')
}

impl<'t, 's, 'x> Parser<'t, 's, 'x> {
    fn new(text: &'t str, name: &str, depth: usize, shared: &'x mut Shared<'s>) -> Parsed<Self> {
        shared.bytes += text.len();
        let name = Arc::from(name);
        let parser = Self { text, at: 0, name, line: 1, line_start: 0, depth, nesting: 0, scopes: Vec::new(), shared };
        if parser.shared.bytes > BYTES_MAX {
            return parser.fail(format!("all files together have more than {BYTES_MAX} bytes"));
        }
        if depth > INCLUDE_DEPTH_MAX {
            return parser.fail(format!(
                "this is {depth} includes or variables deep, {INCLUDE_DEPTH_MAX} are accepted: do they name each other?"
            ));
        }
        Ok(parser)
    }

    fn place(&self) -> Place {
        Place { file: self.name.clone(), line: self.line, column: self.at - self.line_start }
    }

    fn fail<T>(&self, what: impl Into<String>) -> Parsed<T> {
        Err(GrammarError { place: self.place(), what: what.into() })
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn starts_with(&self, prefix: &str) -> bool {
        self.text[self.at..].starts_with(prefix)
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        if c == '\n' {
            self.line += 1;
            self.line_start = self.at;
        }
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self, mut may: impl FnMut(char) -> bool) {
        while self.peek().is_some_and(&mut may) {
            self.bump();
        }
    }

    fn take(&mut self, may: impl FnMut(char) -> bool) -> &'t str {
        let start = self.at;
        self.skip(may);
        &self.text[start..self.at]
    }

    fn is_comment(&self) -> bool {
        self.starts_with("#") || self.starts_with("//")
    }

    fn skip_comment(&mut self) {
        self.skip(|c| c != '\n');
    }

    /// Skips blanks, newlines and comments.
    fn skip_space(&mut self) {
        loop {
            self.skip(char::is_whitespace);
            if !self.is_comment() {
                return;
            }
            self.skip_comment();
        }
    }

    /// What is next, for a message.
    fn found(&self) -> String {
        match self.peek() {
            None => "the end of the file".to_owned(),
            Some(c) if is_newline(c) => "the end of the line".to_owned(),
            Some(c) => format!("{c:?}"),
        }
    }

    fn whole(mut self) -> Parsed<Block> {
        self.skip_space();
        if self.peek() == Some('{') {
            let Value::Block(block) = self.block()? else { return self.fail("this is no block") };
            self.skip_space();
            return match self.peek() {
                None => Ok(block),
                Some(_) => self.fail(format!("found {} behind the block that is the whole file", self.found())),
            };
        }
        self.scopes.push(Block::default());
        self.entries(None)?;
        Ok(self.scopes.pop().unwrap_or_default())
    }

    /// Keys and values up to `close`, or to the end of the file.
    fn entries(&mut self, close: Option<char>) -> Parsed<()> {
        loop {
            self.skip_space();
            match (self.peek(), close) {
                (None, None) => return Ok(()),
                (None, Some(close)) => return self.fail(format!("the file ends before the {close:?} of this block")),
                (Some(c), Some(close)) if c == close => {
                    self.bump();
                    return Ok(());
                }
                (Some(c @ (':' | '=' | ',' | ';' | ']' | '}' | '{' | '[')), _) => {
                    return self.fail(format!("found {c:?} where a key is expected"));
                }
                (Some(_), _) => self.entry()?,
            }
            self.skip(is_blank);
            match self.peek() {
                Some(',' | ';') => {
                    self.bump();
                }
                Some(c) if Some(c) == close || is_newline(c) => {}
                Some(_) if self.is_comment() => {}
                None => {}
                Some(_) => {
                    return self.fail(format!(
                        "found {} behind a value, where a new line, a comma, a semicolon or a comment is accepted",
                        self.found()
                    ));
                }
            }
        }
    }

    fn entry(&mut self) -> Parsed<()> {
        let place = self.place();
        let (key, is_bare) = self.key()?;
        if is_bare && key == "include" && self.peek().is_some_and(is_blank) {
            return self.include();
        }
        self.skip(char::is_whitespace);
        if matches!(self.peek(), Some(':' | '=')) {
            self.bump();
        }
        self.skip(is_blank);
        if self.peek().is_none_or(is_newline) {
            return self.fail(format!("found {} where the value of {key:?} is expected", self.found()));
        }
        let item = self.value()?;
        self.insert(Entry { key, place, item, is_variable: false });
        Ok(())
    }

    fn insert(&mut self, entry: Entry) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(entry);
        }
    }

    /// A key, and whether it is unquoted.
    fn key(&mut self) -> Parsed<(String, bool)> {
        match self.peek() {
            Some(quote @ ('\'' | '"')) => {
                self.bump();
                let key = self.take(|c| c != quote && c != '\n').to_owned();
                match self.bump() {
                    Some(c) if c == quote => Ok((key, false)),
                    Some(_) | None => self.fail(format!("the key {key:?} has no closing {quote}")),
                }
            }
            Some(_) | None => Ok((self.take(|c| !c.is_whitespace() && c != ':' && c != '=').to_owned(), true)),
        }
    }

    fn include(&mut self) -> Parsed<()> {
        self.skip(is_blank);
        let place = self.place();
        let path = match self.peek() {
            Some('\'') => self.single_quoted()?,
            Some('"') => self.double_quoted()?,
            Some(c) if !is_newline(c) => self.take(|c| !ends_word(c)).to_owned(),
            Some(_) | None => return self.fail("include has no file: include ./other.conf"),
        };
        let read = self.shared.sources.include(&path, &self.name);
        let (text, name) = read.map_err(|why| GrammarError {
            place: place.clone(),
            what: format!("error parsing include file '{path}', {why}"),
        })?;
        let inner = Parser::new(&text, &name, self.depth + 1, self.shared)
            .map_err(|error| GrammarError { place, what: error.what })?;
        for entry in inner.whole()?.entries {
            self.insert(entry);
        }
        Ok(())
    }

    fn value(&mut self) -> Parsed<Item> {
        let place = self.place();
        let value = match self.peek() {
            Some('{') => self.block()?,
            Some('[') => self.list()?,
            Some('(') => self.block_string()?,
            Some('\'') => Value::Text(self.single_quoted()?),
            Some('"') => Value::Text(self.double_quoted()?),
            Some('-') if !self.text[self.at + 1..].starts_with(|c: char| c.is_ascii_digit()) => {
                return self.fail("a value that begins with - is a number: quote it if it is none");
            }
            Some(',' | ';' | ']' | '}') | None => {
                return self.fail(format!("found {} where a value is expected", self.found()));
            }
            Some(_) => self.bare()?,
        };
        Ok(Item { value, place })
    }

    fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= NESTING_MAX {
            return self.fail(format!("more than {NESTING_MAX} blocks and arrays are inside each other"));
        }
        self.bump();
        self.nesting += 1;
        let result = inside(self);
        self.nesting -= 1;
        result
    }

    fn block(&mut self) -> Parsed<Value> {
        self.nested(|parser| {
            parser.scopes.push(Block::default());
            parser.entries(Some('}'))?;
            Ok(Value::Block(parser.scopes.pop().unwrap_or_default()))
        })
    }

    fn list(&mut self) -> Parsed<Value> {
        self.nested(|parser| {
            let mut items = Vec::new();
            loop {
                parser.skip_space();
                if parser.peek() == Some(']') {
                    parser.bump();
                    return Ok(Value::List(items));
                }
                items.push(parser.value()?);
                parser.skip(is_blank);
                match parser.peek() {
                    Some(',') => {
                        parser.bump();
                    }
                    Some(']') => {}
                    Some(c) if is_newline(c) => {}
                    Some(_) if parser.is_comment() => {}
                    Some(_) | None => {
                        return parser.fail(format!(
                            "found {} in an array, where a comma, a new line or ']' is accepted",
                            parser.found()
                        ));
                    }
                }
            }
        })
    }

    /// `( … )`, the closing one alone on its line.
    fn block_string(&mut self) -> Parsed<Value> {
        self.bump();
        let start = self.at;
        loop {
            let line_start = self.at;
            let line = self.take(|c| c != '\n');
            if line.trim() == ")" && line_start > start {
                return Ok(Value::Text(self.text[start..line_start].to_owned()));
            }
            if self.bump().is_none() {
                return self.fail("the block string has no ')' alone on a line");
            }
        }
    }

    fn single_quoted(&mut self) -> Parsed<String> {
        self.bump();
        let text = self.take(|c| c != '\'').to_owned();
        match self.bump() {
            Some(_) => Ok(text),
            None => self.fail("a string has no closing '"),
        }
    }

    fn double_quoted(&mut self) -> Parsed<String> {
        self.bump();
        let mut text = String::new();
        loop {
            text.push_str(self.take(|c| c != '"' && c != '\\'));
            match self.bump() {
                Some('"') => return Ok(text),
                Some(_) => text.push(self.escape()?),
                None => return self.fail("a string has no closing \""),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Parsed<char> {
        match self.peek() {
            Some('n') => self.escaped('\n'),
            Some('t') => self.escaped('\t'),
            Some('r') => self.escaped('\r'),
            Some('"') => self.escaped('"'),
            Some('\\') => self.escaped('\\'),
            Some('x') => {
                self.bump();
                let hex = self.text.get(self.at..self.at + 2);
                match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                    Some(byte) => {
                        self.at += 2;
                        Ok(char::from(byte))
                    }
                    None => self.fail("\\x is followed by two hexadecimal digits"),
                }
            }
            Some(_) | None => self.fail(format!(
                "found {} behind a backslash, where \\xXX, \\t, \\n, \\r, \\\" and \\\\ are accepted",
                self.found()
            )),
        }
    }

    fn escaped(&mut self, c: char) -> Parsed<char> {
        self.bump();
        Ok(c)
    }

    fn bare(&mut self) -> Parsed<Value> {
        let place = self.place();
        let mut word = String::new();
        let mut is_plain = true;
        loop {
            word.push_str(self.take(|c| !ends_word(c) && c != '\\'));
            if self.peek() != Some('\\') {
                break;
            }
            self.bump();
            is_plain = false;
            word.push(self.escape()?);
        }
        // A bcrypt hash begins with a dollar as well.
        if let Some(name) = word.strip_prefix('$').filter(|name| is_plain && !name.starts_with('2')) {
            return self.variable(name, &place);
        }
        if !is_plain {
            return Ok(Value::Text(word));
        }
        let value =
            scalar::word(&word).map_err(|error| GrammarError { place: place.clone(), what: error.to_string() })?;
        match value {
            Value::Text(text) if text.starts_with('-') => {
                Err(GrammarError { place, what: format!("{text} is no number: quote it if it is a string") })
            }
            value => Ok(value),
        }
    }

    /// The value of `$name`: of a key of an enclosing block, innermost first, else of the environment.
    fn variable(&mut self, name: &str, place: &Place) -> Parsed<Value> {
        for scope in self.scopes.iter_mut().rev() {
            if let Some(entry) = scope.entries.iter_mut().find(|entry| entry.key == name) {
                entry.is_variable = true;
                return Ok(entry.item.value.clone());
            }
        }
        let fail = |what: String| GrammarError { place: place.clone(), what };
        let Some(text) = self.shared.sources.variable(name) else {
            let line = place.line;
            return Err(fail(format!("variable reference for '{name}' on line {line} can not be found")));
        };
        let text = format!("value={text}");
        let inner = Parser::new(&text, &format!("${name}"), self.depth + 1, self.shared);
        let mut block = inner
            .and_then(Self::whole_of)
            .map_err(|error| fail(format!("the value of the environment's ${name} cannot be read: {}", error.what)))?;
        match block.entries.pop() {
            Some(entry) if block.entries.is_empty() => Ok(entry.item.value),
            Some(_) | None => Err(fail(format!("the environment's ${name} is not one value"))),
        }
    }

    fn whole_of(parser: Parser<'_, '_, '_>) -> Parsed<Block> {
        parser.whole()
    }
}
