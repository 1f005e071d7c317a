//! Every screen in every state: loading, full, empty, filtered to nothing, old, failed, forbidden, cut off. By what a
//! screen reader says of it; a glyph that is in no font and an input without a name fail all of them.

mod support;

use std::collections::BTreeSet;

use eframe::egui::accesskit::Role;
use egui_kittest::Node;
use egui_kittest::kittest::{NodeT, Queryable};
use leveret_admin_model::intent::Effect;
use leveret_admin_model::query::AnyQuery;
use leveret_admin_model::settings::Settings;
use leveret_admin_model::state::Event;
use leveret_admin_model::{Problem, ProblemKind, lookups, query};

use support::places::{Place, SCREENS, number_of, places};
use support::sample::queues;
use support::{Console, field};

/// The console in the place, connected; with the sample's data, or with none yet.
fn at(place: &Place, with_data: bool) -> Console {
    let mut console = Console::new(Settings { reduce_motion: true, ..Settings::default() }, with_data);
    if !place.press.is_empty() {
        // What is pressed may be one of them.
        console.put(&query::queues(), queues());
    }
    console.visit(place);
    console
}

/// Places that ask the broker for something.
fn asking() -> impl Iterator<Item = (Place, &'static str)> {
    places().into_iter().filter_map(|place| place.empty.map(|empty| (place, empty)))
}

/// What the place asks for, again and again until it asks for nothing else; `answer` is called for each.
fn ask_through(console: &mut Console, mut answer: impl FnMut(&AnyQuery) -> Event) {
    let mut answered = BTreeSet::new();
    loop {
        let once = console.harness.state().effects.iter().filter_map(|effect| match effect {
            Effect::Fetch(query) => Some(AnyQuery::clone(query)),
            _ => None,
        });
        let wanted: Vec<AnyQuery> = console.wanted().iter().cloned().chain(once).collect();
        let new: Vec<&AnyQuery> = wanted.iter().filter(|query| answered.insert(query.key.clone())).collect();
        if new.is_empty() {
            return;
        }
        for query in new {
            let event = answer(query);
            console.fold(event);
        }
    }
}

fn fail(console: &mut Console, kind: ProblemKind) {
    ask_through(console, |query| Event::Failed {
        key: query.key.clone(),
        problem: Problem::new(kind, query.request.summary(), "the reason that was given"),
    });
}

#[track_caller]
fn assert_reads(console: &Console, place: &Place, text: &str) {
    assert!(console.has_text(text), "{} does not say “{text}”, but {}", place.name, console.words());
}

#[test]
fn every_screen_is_among_the_places() {
    let numbers: BTreeSet<usize> = places().iter().map(|place| number_of(&place.route)).collect();
    assert_eq!(numbers, (0..SCREENS).collect(), "each screen has a place in support/places.rs");
}

#[test]
fn full() {
    for place in places() {
        let console = at(&place, true);
        assert_reads(&console, &place, place.full);
        assert!(!console.has_text(" old: "), "{}", place.name);
        let has_filter = console.harness.query_all_by(field("Filter")).next().is_some();
        assert_eq!(place.filters, has_filter, "{} is a list", place.name);
    }
}

#[test]
fn loading() {
    for (place, _) in asking() {
        let mut console = at(&place, false);
        ask_through(&mut console, |query| Event::Asked { key: query.key.clone() });
        assert!(!console.has_text("Loading…"), "{}: what comes at once is not announced", place.name);
        console.later(1_000);
        console.run();
        assert_reads(&console, &place, "Loading…");
    }
}

#[test]
fn empty() {
    for (place, empty) in asking() {
        let mut console = at(&place, false);
        ask_through(&mut console, |query| {
            let nothing = (query.decode)(b"[]").or_else(|_| (query.decode)(b"{}"));
            Event::Answered { key: query.key.clone(), value: nothing.expect("an empty value") }
        });
        assert_reads(&console, &place, empty);
    }
}

#[test]
fn filtered_to_nothing() {
    for place in places().into_iter().filter(|place| place.filters) {
        let mut console = at(&place, true);
        console.type_into("Filter", "nosuchthing");
        assert_reads(&console, &place, "Nothing matches “nosuchthing”.");
        console.harness.get_all_by_label("Clear the filter").last().expect("a button").click();
        console.run();
        assert_reads(&console, &place, place.full);
    }
}

#[test]
fn old() {
    for (place, _) in asking() {
        let mut console = at(&place, true);
        // What is read once is read again after a minute.
        console.later(60_000);
        console.run();
        fail(&mut console, ProblemKind::Server);
        console.later(7_000);
        console.run();
        assert_reads(&console, &place, " s old: The broker failed");
        assert_reads(&console, &place, place.full);
        assert!(console.is_any_faded(), "{}: what is old looks so", place.name);
    }
}

#[test]
fn failed() {
    for (place, _) in asking() {
        let mut console = at(&place, false);
        fail(&mut console, ProblemKind::Malformed);
        assert_reads(&console, &place, "The broker's answer makes no sense");
        assert_reads(&console, &place, "the reason that was given");
        assert_reads(&console, &place, "Try again");
    }
}

#[test]
fn what_is_read_once_and_failed_is_asked_for_again() {
    let (place, _) = asking().find(|(place, _)| place.name == "definitions").expect("it is a place");
    let mut console = at(&place, false);
    fail(&mut console, ProblemKind::Server);
    console.harness.state_mut().effects.clear();
    console.click("Try again");
    assert!(matches!(console.harness.state().effects[..], [Effect::Fetch(_)]));
}

#[test]
fn a_part_that_cannot_be_had_is_told() {
    // The bar and the navigation have them for all screens, and show less without them.
    let unmissed = [query::overview().key, query::vhosts().key, lookups::operations().key];
    for (place, _) in asking() {
        let wanted = at(&place, true).wanted().to_vec();
        for query in wanted.iter().filter(|query| !unmissed.contains(&query.key)) {
            let mut console = at(&place, true);
            console.harness.state_mut().state.store.forget(&query.key);
            let problem = Problem::new(ProblemKind::Forbidden, query.request.summary(), "the reason");
            console.fold(Event::Failed { key: query.key.clone(), problem });
            assert_reads(&console, &place, "This user may not see this");
        }
    }
}

#[test]
fn forbidden() {
    for (place, _) in asking() {
        let mut console = at(&place, false);
        fail(&mut console, ProblemKind::Forbidden);
        assert_reads(&console, &place, "This user may not see this");
        assert_reads(&console, &place, "Ask for a user with the tag");
    }
}

#[test]
fn cut_off() {
    for place in places() {
        let mut console = at(&place, true);
        console.lose();
        console.later(90_000);
        console.run();
        assert_reads(&console, &place, "The broker cannot be reached for 1 min");
        assert_reads(&console, &place, place.full);
        if place.empty.is_some() {
            assert!(console.is_any_faded(), "{}: what is old looks so", place.name);
        }
    }
}

#[test]
fn cut_off_before_there_was_anything() {
    for (place, _) in asking() {
        let mut console = at(&place, false);
        console.lose();
        assert_reads(&console, &place, "The broker cannot be reached");
    }
}

#[test]
fn late() {
    for (place, _) in asking() {
        let mut console = at(&place, true);
        ask_through(&mut console, |query| Event::Asked { key: query.key.clone() });
        console.later(5_000);
        console.run();
        assert_reads(&console, &place, "no answer for 5 s");
        assert_reads(&console, &place, place.full);
    }
}

#[test]
fn lists_are_tables_of_rows_of_cells() {
    for place in places().into_iter().filter(|place| place.filters) {
        let console = at(&place, true);
        let tables: Vec<_> = console.harness.query_all_by(|node| node.role() == Role::Table).collect();
        assert!(!tables.is_empty(), "{}", place.name);
        for table in tables {
            let role_of = |node: &Node<'_>| node.accesskit_node().role();
            let headers =
                table.children_recursive().filter(|node| role_of(node) == Role::ColumnHeader).count();
            let rows: Vec<_> = table.children_recursive().filter(|node| role_of(node) == Role::Row).collect();
            assert!(headers > 1 && !rows.is_empty(), "{}: {headers} headers, {rows:?}", place.name);
            for row in rows {
                let cells: Vec<_> = row.children().filter(|cell| role_of(cell) == Role::Cell).collect();
                assert_eq!(cells.len(), headers, "{}: a cell for each column", place.name);
                for cell in &cells {
                    for link in cell.children() {
                        assert_eq!(role_of(&link), Role::Link, "{}", place.name);
                        let names = [&link, cell].map(|node| node.accesskit_node().label());
                        assert!(names[0].is_some() && names[0] == names[1], "{}: {names:?}", place.name);
                    }
                }
            }
        }
    }
}

#[test]
fn a_late_overview_is_told_in_the_bar() {
    let mut console = at(&places().remove(2), true);
    console.fold(Event::Asked { key: query::overview().key });
    assert!(!console.has_text("no answer"));
    console.later(4_000);
    console.run();
    assert!(console.has_label("no answer for 4 s"));
}
