//! Reading a TOML file so that each complaint names its line and its key.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::units;

/// What is wrong with the file, and where.
#[derive(Debug)]
pub(super) struct Problem {
    /// Bytes of the file.
    pub(super) span: Range<usize>,
    /// The key, such as `link.ab.loss`; empty for the file as a whole.
    pub(super) key: String,
    pub(super) what: String,
}

pub(super) type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// `FILE:LINE: KEY: WHAT`, one line.
    pub(super) fn line(&self, file: &str, text: &str) -> String {
        let before = text.get(..self.span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let key = match self.key.as_str() {
            "" => String::new(),
            key => format!("{key}: "),
        };
        format!("{file}:{line}: {key}{}", self.what.replace('\n', " "))
    }
}

/// A table, of which these keys are known.
pub(super) struct Table<'t> {
    key: String,
    pub(super) span: Range<usize>,
    table: &'t DeTable<'t>,
    known: Known,
}

/// Which keys a table has: its own, and those of another kind of table that are its own, too.
pub(super) type Known = &'static [&'static [&'static str]];

/// A value with its key.
#[derive(Clone)]
pub(super) struct Value<'t> {
    pub(super) key: String,
    pub(super) span: Range<usize>,
    value: &'t DeValue<'t>,
}

fn below(key: &str, name: impl fmt::Display) -> String {
    if key.is_empty() {
        name.to_string()
    } else {
        format!("{key}.{name}")
    }
}

fn is_known(known: Known, name: &str) -> bool {
    known.iter().any(|keys| keys.contains(&name))
}

impl<'t> Table<'t> {
    /// Refuses keys that are not known.
    pub(super) fn new(
        key: String,
        span: Range<usize>,
        table: &'t DeTable<'t>,
        known: Known,
    ) -> Result<Table<'t>> {
        for (name, _) in table.iter() {
            if !is_known(known, name.get_ref()) {
                return Err(Problem {
                    span: name.span(),
                    key: below(&key, name.get_ref()),
                    what: format!("no such key here; there are {}", known.concat().join(", ")),
                });
            }
        }
        Ok(Table {
            key,
            span,
            table,
            known,
        })
    }

    pub(super) fn get(&self, name: &str) -> Option<Value<'t>> {
        debug_assert!(is_known(self.known, name), "{name}");
        let (_, value) = self.table.iter().find(|(key, _)| key.get_ref() == name)?;
        Some(Value::of(below(&self.key, name), value))
    }

    pub(super) fn need(&self, name: &str) -> Result<Value<'t>> {
        self.get(name).ok_or_else(|| Problem {
            span: self.span.clone(),
            key: below(&self.key, name),
            what: "is missing".into(),
        })
    }

    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem {
            span: self.span.clone(),
            key: self.key.clone(),
            what: what.into(),
        }
    }
}

impl<'t> Value<'t> {
    fn of(key: String, value: &'t Spanned<DeValue<'t>>) -> Value<'t> {
        Value {
            key,
            span: value.span(),
            value: value.get_ref(),
        }
    }

    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem {
            span: self.span.clone(),
            key: self.key.clone(),
            what: what.into(),
        }
    }

    fn wrong(&self, wanted: &str) -> Problem {
        self.problem(format!(
            "is {}, but {wanted} is wanted",
            self.value.type_str()
        ))
    }

    pub(super) fn text(&self) -> Result<&'t str> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    pub(super) fn truth(&self) -> Result<bool> {
        self.value
            .as_bool()
            .ok_or_else(|| self.wrong("true or false"))
    }

    pub(super) fn number<T: TryFrom<i64>>(&self) -> Result<T> {
        let number = self
            .value
            .as_integer()
            .ok_or_else(|| self.wrong("a number"))?;
        i64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.problem(format!("{} is out of range", number.as_str())))
    }

    pub(super) fn is_number(&self) -> bool {
        self.value.is_integer()
    }

    /// A string, or a number or truth value as it would be written in one.
    pub(super) fn words(&self) -> Result<String> {
        match self.value {
            DeValue::Integer(number) => Ok(number.as_str().to_owned()),
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(truth) => Ok(truth.to_string()),
            _ => self.text().map(str::to_owned),
        }
    }

    pub(super) fn time(&self) -> Result<Duration> {
        let text = self.value.as_str();
        let text = text.ok_or_else(|| self.wrong("a time in quotes, such as \"5s\","))?;
        units::time(text).map_err(|what| self.problem(what))
    }

    pub(super) fn list(&self) -> Result<Vec<Value<'t>>> {
        let array = self.value.as_array().ok_or_else(|| self.wrong("a list"))?;
        let values = array.iter();
        Ok(values
            .map(|value| Value::of(self.key.clone(), value))
            .collect())
    }

    /// A list, or one value in its place.
    pub(super) fn one_or_more(&self) -> Result<Vec<Value<'t>>> {
        if self.value.is_array() {
            self.list()
        } else {
            Ok(vec![self.clone()])
        }
    }

    pub(super) fn texts(&self) -> Result<Vec<String>> {
        let values = self.one_or_more()?;
        values
            .iter()
            .map(|value| value.text().map(str::to_owned))
            .collect()
    }

    pub(super) fn is_text(&self) -> bool {
        self.value.is_str()
    }

    pub(super) fn table(&self, known: Known) -> Result<Table<'t>> {
        let table = self.value.as_table().ok_or_else(|| self.wrong("a table"))?;
        Table::new(self.key.clone(), self.span.clone(), table, known)
    }

    /// A table whose keys are names that the file chooses: each with its value, whose span is the name's.
    pub(super) fn named(&self) -> Result<Vec<(String, Value<'t>)>> {
        let table = self.value.as_table().ok_or_else(|| self.wrong("a table"))?;
        let entries = table.iter().map(|(name, value)| {
            let mut value = Value::of(below(&self.key, name.get_ref()), value);
            if value.value.is_table() {
                value.span = name.span();
            }
            (name.get_ref().to_string(), value)
        });
        Ok(entries.collect())
    }
}
