//! Names, numbers and filters read back.

use super::*;

#[test]
fn names_and_numbers_read_back() {
    for event in EventType::ALL {
        assert_eq!(EventType::from_name(event.as_str()), Some(event));
        assert_eq!(EventType::from_number(event.number()), Some(event));
    }
    for cause in Cause::ALL {
        assert_eq!(Cause::from_number(cause.number()), Some(cause));
    }
    for outcome in Outcome::ALL {
        assert_eq!(Outcome::from_number(outcome.number()), Some(outcome));
        assert_eq!(AttemptState::from_name(outcome.as_str()), Some(AttemptState::Ended(outcome)));
    }
    for state in [AttemptState::Sending, AttemptState::Unknown, AttemptState::Expired] {
        assert_eq!(AttemptState::from_name(state.as_str()), Some(state));
    }
    for fault in Fault::ALL {
        assert_eq!(Fault::from_name(fault.as_str()), Some(fault));
    }
    for form in [KeyForm::Raw, KeyForm::Hex] {
        assert_eq!(KeyForm::from_name(form.as_str()), Some(form));
        assert_eq!(form.other().other(), form);
    }
}

#[test]
fn a_filter_holds_terminal_events_only_and_never_none() {
    let failed = EventFilter::of([EventType::Failed]).expect("one event");
    assert_eq!(failed.events().collect::<Vec<_>>(), [EventType::Failed]);
    assert_eq!(EventFilter::from_number(failed.number()), Some(failed));
    assert_eq!(EventFilter::of([EventType::Delivered, EventType::Failed]), Some(EventFilter::ALL));
    assert_eq!(EventFilter::of([]), None);
    assert_eq!(EventFilter::of([EventType::Test]), None);
}
