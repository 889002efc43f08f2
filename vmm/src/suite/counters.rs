//! What devices have counted, compared with what a scenario expects of it.

use fencepost_devices::function::Counter;
use fencepost_report::Judged;

use crate::scenario::Counted;

/// Compares each of `expected` with what was counted, by device. Of two devices of a name the sum counts.
pub fn judge(expected: &[Counted], counted: &[(String, Vec<Counter>)]) -> Judged {
    let mut judged = Judged::default();
    for Counted { device, counter, at_least } in expected {
        let name = format!("the counter {counter} of {device}");
        let devices = counted.iter().filter(|(of, _)| of == device);
        let values: Vec<u64> = devices
            .flat_map(|(_, counters)| counters.iter().filter(|it| it.name == counter).map(|it| it.value))
            .collect();
        let sum = values.iter().fold(0u64, |sum, value| sum.saturating_add(*value));
        let expected = format!("at least {at_least}");
        if values.is_empty() {
            judged.failed(&name, expected, "the machine has no such counter", Vec::new());
        } else if sum < *at_least {
            judged.failed(&name, expected, sum.to_string(), Vec::new());
        } else {
            judged.passed(&name, sum.to_string());
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_is_missing_or_too_low_is_a_failure() {
        let counter = |value| Counter { name: "walks-2m", value };
        let counted = [
            ("iommu".to_string(), vec![counter(2)]),
            ("gpu".to_string(), vec![counter(9)]),
            ("iommu".to_string(), vec![counter(1)]),
        ];
        let came = |counter: &str, at_least| {
            let expected = Counted { device: "iommu".into(), counter: counter.into(), at_least };
            judge(&[expected], &counted).failures.first().map(|failure| failure.came.clone())
        };
        assert_eq!(came("walks-2m", 3), None);
        assert_eq!(came("walks-2m", 4).as_deref(), Some("3"));
        assert_eq!(came("walks-9m", 0).as_deref(), Some("the machine has no such counter"));
    }
}
