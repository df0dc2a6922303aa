//! The little JSON that the tests need: the shared vectors and the library's description of its ABI.
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    pub fn parse(text: &str) -> Json {
        let mut reader = Reader { text: text.as_bytes(), at: 0 };
        let value = reader.value();
        reader.space();
        assert_eq!(reader.at, text.len(), "text after the document");
        value
    }

    pub fn get(&self, key: &str) -> Option<&Json> {
        self.object().get(key)
    }
    pub fn at(&self, key: &str) -> &Json {
        self.get(key).unwrap_or_else(|| panic!("no member {key}"))
    }
    pub fn object(&self) -> &BTreeMap<String, Json> {
        let Json::Object(members) = self else { panic!("not an object: {self:?}") };
        members
    }
    pub fn list(&self) -> &[Json] {
        let Json::List(values) = self else { panic!("not a list: {self:?}") };
        values
    }
    pub fn text(&self) -> &str {
        let Json::Text(text) = self else { panic!("not a string: {self:?}") };
        text
    }
    pub fn number(&self) -> f64 {
        let Json::Number(number) = self else { panic!("not a number: {self:?}") };
        *number
    }
    pub fn bool(&self) -> bool {
        let Json::Bool(value) = self else { panic!("not true or false: {self:?}") };
        *value
    }
    pub fn numbers(&self) -> Vec<f64> {
        self.list().iter().map(Json::number).collect()
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn space(&mut self) {
        while self.at < self.text.len() && self.text[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
    }
    fn peek(&mut self) -> u8 {
        self.space();
        self.text[self.at]
    }
    fn take(&mut self, expected: u8) -> bool {
        let found = self.peek() == expected;
        self.at += usize::from(found);
        found
    }
    fn word(&mut self, word: &str, value: Json) -> Json {
        assert!(self.text[self.at..].starts_with(word.as_bytes()), "a value at byte {}", self.at);
        self.at += word.len();
        value
    }
    fn value(&mut self) -> Json {
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => Json::Text(self.text()),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            _ => self.number(),
        }
    }
    fn object(&mut self) -> Json {
        let mut members = BTreeMap::new();
        assert!(self.take(b'{'));
        while !self.take(b'}') {
            assert!(members.is_empty() || self.take(b','), "a comma at byte {}", self.at);
            self.space();
            let key = self.text();
            assert!(self.take(b':'), "a colon at byte {}", self.at);
            members.insert(key, self.value());
        }
        Json::Object(members)
    }
    fn list(&mut self) -> Json {
        let mut values = Vec::new();
        assert!(self.take(b'['));
        while !self.take(b']') {
            assert!(values.is_empty() || self.take(b','), "a comma at byte {}", self.at);
            values.push(self.value());
        }
        Json::List(values)
    }
    fn text(&mut self) -> String {
        assert!(self.take(b'"'), "a string at byte {}", self.at);
        let begin = self.at;
        while self.text[self.at] != b'"' {
            assert_ne!(self.text[self.at], b'\\', "strings have no escapes here");
            self.at += 1;
        }
        self.at += 1;
        String::from_utf8(self.text[begin..self.at - 1].to_vec()).unwrap()
    }
    fn number(&mut self) -> Json {
        let begin = self.at;
        while self.at < self.text.len() && b"+-.0123456789eE".contains(&self.text[self.at]) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.text[begin..self.at]).unwrap();
        Json::Number(text.parse().unwrap_or_else(|_| panic!("a number at byte {begin}")))
    }
}

/// The shared vectors whose names start so.
pub fn vectors(prefix: &str) -> Vec<(String, Json)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../tests/vectors");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("tests/vectors") {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with(prefix) && name.ends_with(".json") {
            let text = std::fs::read_to_string(folder.join(&name)).unwrap();
            found.push((name, Json::parse(&text)));
        }
    }
    found
}

pub fn floats(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}
