//! What can be done from everywhere: by a key, or from the palette.

use eframe::egui::{Key, KeyboardShortcut, Modifiers, Ui};
use leveret_admin_model::{Intent, Route};

use crate::cx::Cx;
use crate::text::{Text, common::*};
use crate::texts;
use crate::theme::icons;

texts! {
    FIND = "Find anything" | "查找";
    KEYS = "Keys" | "快捷键";
    GO_TO = "Go to {}" | "转到 {}";
    DISCONNECT = "Disconnect" | "断开连接";
    COPY_ADDRESS = "Copy the address of this page" | "复制本页地址";
}

/// What a command does.
#[derive(Debug, Clone)]
pub enum Do {
    Palette,
    Help,
    Send(Intent),
}

/// Something that can be done from everywhere.
#[derive(Debug, Clone)]
pub struct Command {
    pub icon: &'static str,
    pub name: Text,
    pub key: Option<KeyboardShortcut>,
    pub act: Do,
}

/// Places of the navigation, in its order: what Ctrl+1 to Ctrl+9 lead to.
pub const PLACES: &[(&str, Text, Route)] = &[
    (icons::LAYOUT_DASHBOARD, OVERVIEW, Route::Overview),
    (icons::WAYPOINTS, MESSAGE_FLOW, Route::Flow),
    (icons::INBOX, QUEUES, Route::Queues),
    (icons::SKULL, DEAD_LETTERS, Route::DeadLetters),
    (icons::SHUFFLE, EXCHANGES, Route::Exchanges),
    (icons::CABLE, BINDINGS, Route::Bindings),
    (icons::PLUG, CONNECTIONS, Route::Connections),
    (icons::LAYERS, CHANNELS, Route::Channels),
    (icons::USERS, CONSUMERS, Route::Consumers),
    (icons::MAIL, MESSAGES, Route::Messages),
    (icons::CALENDAR_CLOCK, DELAYED, Route::Delayed),
    (icons::SCROLL_TEXT, POLICIES, Route::Policies),
    (icons::SHIELD, ACCESS, Route::Access),
    (icons::FILE_DIFF, DEFINITIONS, Route::Definitions),
    (icons::BELL, ALARMS, Route::Alarms),
];

const NUMBERS: [Key; 9] =
    [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];

/// Everything that can be done from everywhere, in the order of the list of keys.
pub fn all() -> Vec<Command> {
    let key = |modifiers, key| Some(KeyboardShortcut::new(modifiers, key));
    let mut commands = vec![
        Command { icon: icons::SEARCH, name: FIND, key: key(Modifiers::COMMAND, Key::K), act: Do::Palette },
        Command {
            icon: icons::REFRESH_CW,
            name: REFRESH,
            key: key(Modifiers::NONE, Key::F5),
            act: Do::Send(Intent::Refresh),
        },
        Command {
            icon: icons::ARROW_LEFT,
            name: BACK,
            key: key(Modifiers::ALT, Key::ArrowLeft),
            act: Do::Send(Intent::Back),
        },
        Command {
            icon: icons::ARROW_RIGHT,
            name: FORWARD,
            key: key(Modifiers::ALT, Key::ArrowRight),
            act: Do::Send(Intent::Forward),
        },
    ];
    for (at, (icon, name, route)) in PLACES.iter().enumerate() {
        let number = NUMBERS.get(at).map(|number| KeyboardShortcut::new(Modifiers::COMMAND, *number));
        commands.push(Command { icon, name: *name, key: number, act: Do::Send(Intent::Go(route.clone())) });
    }
    let rest = [
        (icons::SERVER, BROKERS, Do::Send(Intent::Go(Route::Connect))),
        (icons::SETTINGS, SETTINGS, Do::Send(Intent::Go(Route::Settings))),
        (icons::UNPLUG, DISCONNECT, Do::Send(Intent::Disconnect)),
    ];
    commands.extend(rest.map(|(icon, name, act)| Command { icon, name, key: None, act }));
    commands.push(Command {
        icon: icons::KEYBOARD,
        name: KEYS,
        key: key(Modifiers::NONE, Key::F1),
        act: Do::Help,
    });
    commands
}

/// Commands whose keys were pressed. Those with more modifiers come first, so that they are not mistaken.
pub fn pressed(ui: &Ui, cx: &Cx<'_>) -> Vec<Do> {
    if !ui.input(|input| {
        input.events.iter().any(|event| matches!(event, eframe::egui::Event::Key { pressed: true, .. }))
    }) {
        return Vec::new();
    }
    let mut commands: Vec<Command> = all().into_iter().filter(|command| command.key.is_some()).collect();
    commands.sort_by_key(|command| {
        std::cmp::Reverse(command.key.map_or(0, |key| {
            usize::from(key.modifiers.shift)
                + usize::from(key.modifiers.alt)
                + usize::from(key.modifiers.command)
        }))
    });
    let mut pressed: Vec<Do> = Vec::new();
    for command in commands {
        let Some(key) = &command.key else { continue };
        if can(&command.act, cx) && ui.input_mut(|input| input.consume_shortcut(key)) {
            pressed.push(command.act);
        }
    }
    let typing = ui.ctx().egui_wants_keyboard_input();
    if !typing
        && ui.input(|input| {
            input.events.iter().any(|event| matches!(event, eframe::egui::Event::Text(text) if text == "?"))
        })
    {
        pressed.push(Do::Help);
    }
    pressed
}

/// True when it makes sense now: there is nothing to see without a broker.
pub fn can(act: &Do, cx: &Cx<'_>) -> bool {
    match act {
        Do::Send(Intent::Go(route)) => cx.state.broker.is_some() || !route.needs_broker(),
        Do::Send(Intent::Disconnect | Intent::Refresh) => cx.state.broker.is_some(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_commands_have_one_key() {
        let commands = all();
        for (at, one) in commands.iter().enumerate() {
            for other in &commands[at + 1..] {
                assert!(one.key.is_none() || one.key != other.key, "{one:?} {other:?}");
            }
        }
    }
}
