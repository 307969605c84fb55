//! The reports of Autobahn, and whether one client is worse than another.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Result;

/// One agent's part of Autobahn's `index.json`: case → what was seen.
pub(crate) struct Reports(Map<String, Value>);

impl Reports {
    pub(crate) fn parse(json: &str, agent: &str) -> Result<Self> {
        match serde_json::from_str::<Value>(json)?.get(agent).and_then(Value::as_object) {
            Some(cases) if !cases.is_empty() => Ok(Self(cases.clone())),
            _ => Err(format!("Autobahn has no report of {agent}").into()),
        }
    }

    /// One line: how many cases ended how.
    pub(crate) fn summary(&self) -> String {
        let mut counts = BTreeMap::<String, u32>::new();
        for case in self.0.values() {
            *counts.entry(text(case, "behavior").to_owned()).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        counts.join(", ")
    }

    /// The cases in which this agent does worse than the baseline, each with both results.
    pub(crate) fn worse(&self, baseline: &Self) -> Vec<String> {
        let mut worse = Vec::new();
        for (name, expected) in &baseline.0 {
            for aspect in ["behavior", "behaviorClose"] {
                let expected = text(expected, aspect);
                let found = self.0.get(name).map_or("missing", |case| text(case, aspect));
                if Grade::of(found) < Grade::of(expected) {
                    worse.push(format!("{name} {aspect}: {found}, not {expected}"));
                }
            }
        }
        worse
    }

    /// The cases that went wrong.
    pub(crate) fn failed(&self) -> Vec<String> {
        let results = self.0.iter().flat_map(|(name, case)| {
            ["behavior", "behaviorClose"].map(|aspect| (name, aspect, text(case, aspect)))
        });
        let failed = results.filter(|(.., found)| Grade::of(found) < Grade::Tolerated);
        failed.map(|(name, aspect, found)| format!("{name} {aspect}: {found}")).collect()
    }
}

/// Autobahn's results, worst first. An unknown one counts as failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Failed,
    Unimplemented,
    Tolerated,
    Ok,
}

impl Grade {
    fn of(word: &str) -> Self {
        match word {
            "OK" => Self::Ok,
            "INFORMATIONAL" | "NON-STRICT" => Self::Tolerated,
            "UNIMPLEMENTED" => Self::Unimplemented,
            _ => Self::Failed,
        }
    }
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap_or("missing")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 6] =
        ["FAILED", "WRONG CODE", "UNIMPLEMENTED", "NON-STRICT", "INFORMATIONAL", "OK"];

    #[test]
    fn a_case_is_worse_only_below_the_baselines_grade() {
        let grades = [0, 0, 1, 2, 2, 3];
        for (expected, expected_grade) in WORDS.iter().zip(grades) {
            for (found, found_grade) in WORDS.iter().zip(grades) {
                let worse = compare((expected, "OK"), (found, "OK"));
                assert_eq!(worse.is_empty(), found_grade >= expected_grade, "{expected} → {found}");
            }
        }
    }

    #[test]
    fn the_end_of_a_case_is_compared_as_well() {
        let worse = compare(("OK", "OK"), ("OK", "UNCLEAN"));
        assert_eq!(worse, ["1.1.1 behaviorClose: UNCLEAN, not OK"]);
    }

    #[test]
    fn a_case_that_was_not_run_is_worse() {
        let json = r#"{"a": {"1": {"behavior": "OK", "behaviorClose": "OK"}}, "b": {"2": {}}}"#;
        let reports = |agent| Reports::parse(json, agent).unwrap();
        assert_eq!(reports("b").worse(&reports("a")).len(), 2);
    }

    #[test]
    fn an_agent_without_cases_is_an_error() {
        assert!(Reports::parse(r#"{"a": {}}"#, "a").is_err());
        assert!(Reports::parse(r#"{"a": {}}"#, "b").is_err());
    }

    #[test]
    fn the_summary_counts_each_word_and_what_failed_is_listed() {
        let case = |word| format!(r#"{{"behavior": "{word}", "behaviorClose": "OK"}}"#);
        let json = format!(
            r#"{{"a": {{"1": {}, "2": {}, "3": {}, "4": {}}}}}"#,
            case("OK"),
            case("FAILED"),
            case("OK"),
            case("NON-STRICT")
        );
        let reports = Reports::parse(&json, "a").unwrap();
        assert_eq!(reports.summary(), "1 FAILED, 1 NON-STRICT, 2 OK");
        assert_eq!(reports.failed(), ["2 behavior: FAILED"]);
    }

    fn compare(baseline: (&str, &str), candidate: (&str, &str)) -> Vec<String> {
        let case = |(behavior, close)| serde_json::json!({"1.1.1": {"behavior": behavior, "behaviorClose": close}});
        let json = serde_json::json!({"a": case(baseline), "b": case(candidate)}).to_string();
        let reports = |agent| Reports::parse(&json, agent).unwrap();
        reports("b").worse(&reports("a"))
    }
}
