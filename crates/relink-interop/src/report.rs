//! What Autobahn reports, and whether one client does worse than another.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::Result;

/// Autobahn's `index.json`: agent → case → what was seen.
pub(crate) struct Reports(Map<String, Value>);

impl Reports {
    pub(crate) fn parse(json: &str) -> Result<Self> {
        Ok(Self(serde_json::from_str(json)?))
    }

    /// One line: how many cases ended how.
    pub(crate) fn summary(&self, agent: &str) -> Result<String> {
        let mut counts = BTreeMap::<String, u32>::new();
        for case in self.cases(agent)?.values() {
            *counts.entry(text(case, "behavior").to_owned()).or_default() += 1;
        }
        let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        Ok(counts.join(", "))
    }

    /// The cases in which the candidate does worse than the baseline, each with both results.
    pub(crate) fn worse(&self, baseline: &str, candidate: &str) -> Result<Vec<String>> {
        let (baseline, candidate) = (self.cases(baseline)?, self.cases(candidate)?);
        let mut worse = Vec::new();
        for (name, expected) in baseline {
            for aspect in ["behavior", "behaviorClose"] {
                let expected = text(expected, aspect);
                let found = candidate.get(name).map_or("missing", |case| text(case, aspect));
                if Grade::of(found) < Grade::of(expected) {
                    worse.push(format!("{name} {aspect}: {found}, not {expected}"));
                }
            }
        }
        Ok(worse)
    }

    fn cases(&self, agent: &str) -> Result<&Map<String, Value>> {
        match self.0.get(agent).and_then(Value::as_object) {
            Some(cases) if !cases.is_empty() => Ok(cases),
            _ => Err(format!("Autobahn has no report of {agent}").into()),
        }
    }
}

/// Autobahn's words in order, worst first. A word that is not known here counts as failed.
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
        let reports = Reports::parse(
            r#"{"a": {"1": {"behavior": "OK", "behaviorClose": "OK"}}, "b": {"2": {}}}"#,
        )
        .unwrap();
        assert_eq!(reports.worse("a", "b").unwrap().len(), 2);
    }

    #[test]
    fn an_agent_without_cases_is_an_error() {
        let reports = Reports::parse(r#"{"a": {}}"#).unwrap();
        assert!(reports.worse("a", "a").is_err());
        assert!(reports.summary("b").is_err());
    }

    #[test]
    fn the_summary_counts_each_word() {
        let case = |word| format!(r#"{{"behavior": "{word}"}}"#);
        let json = format!(
            r#"{{"a": {{"1": {}, "2": {}, "3": {}}}}}"#,
            case("OK"),
            case("FAILED"),
            case("OK")
        );
        assert_eq!(Reports::parse(&json).unwrap().summary("a").unwrap(), "1 FAILED, 2 OK");
    }

    fn compare(baseline: (&str, &str), candidate: (&str, &str)) -> Vec<String> {
        let case = |(behavior, close)| serde_json::json!({"1.1.1": {"behavior": behavior, "behaviorClose": close}});
        let json = serde_json::json!({"a": case(baseline), "b": case(candidate)});
        Reports::parse(&json.to_string()).unwrap().worse("a", "b").unwrap()
    }
}
