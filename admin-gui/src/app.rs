//! The application: takes what the network found, draws a frame, does what was wanted.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eframe::egui::{self, ScreenshotCallback, Ui, ViewportCommand};
use leveret_admin_model::intent::{Effect, Password};
use leveret_admin_model::query::AnyQuery;
use leveret_admin_model::settings::{self, Look, SavedBroker, Settings};
use leveret_admin_model::state::Event;
use leveret_admin_model::{Intent, Millis, Notice, Route, Severity, State};

use crate::cx::Cx;
use crate::dialogs::Dialog;
use crate::net::Net;
use crate::screens::Screens;
use crate::shell::{Decision, Shell};
use crate::{files, secrets, text, theme};

/// How it starts.
#[derive(Debug, Default)]
pub struct Start {
    pub settings: Settings,
    /// Where settings are written to.
    pub file: Option<PathBuf>,
    pub route: Option<Route>,
    /// Which broker; a password that is not given is looked up or asked for.
    pub connect: Option<(SavedBroker, Option<Password>)>,
    /// Take a picture after so many seconds, and end.
    pub screenshot: Option<(PathBuf, f32)>,
    /// What is wrong with the file of settings.
    pub mistake: Option<String>,
}

/// The application.
pub struct App {
    pub state: State,
    shell: Shell,
    screens: Screens,
    /// None in tests, where the state is filled by hand.
    net: Option<Net>,
    picture: Option<Picture>,
    dressed: Option<(Look, bool, f32)>,
    /// The time, when it does not pass by itself.
    clock: Option<Millis>,
    /// What is found out beside the network: by the keyring, by dialogs.
    aside: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    /// What could not be done without a network, for tests.
    pub effects: Vec<Effect>,
    /// What the screens wanted in the last frame.
    pub wanted: Vec<AnyQuery>,
}

struct Picture {
    file: PathBuf,
    at: Millis,
    asked: bool,
}

/// Frames drawn per second at most because of new data.
const DATA_FRAMES: u64 = 10;

impl App {
    pub fn new(ctx: &egui::Context, start: Start, net: Net) -> App {
        let mut app = App::build(ctx, start);
        app.net = Some(net);
        let effects = std::mem::take(&mut app.effects);
        app.perform(ctx, effects);
        app
    }

    /// Without a network and with a clock that stands still: the state is filled by hand.
    pub fn offline(ctx: &egui::Context, start: Start, now: Millis) -> App {
        let mut app = App::build(ctx, start);
        app.clock = Some(now);
        app.state.now = now;
        app
    }

    fn build(ctx: &egui::Context, start: Start) -> App {
        ctx.set_fonts(theme::fonts::definitions());
        let now = unix_now();
        let mut state = State::new(start.settings, Route::Connect, now);
        state.settings_file = start.file;
        if let Some(mistake) = start.mistake {
            state.notify(
                Notice::new(Severity::Warning, crate::screens::settings::UNREADABLE.get()).detail(mistake),
            );
        }
        let mut effects = Vec::new();
        if let Some((broker, password)) = start.connect {
            let broker = Box::new(broker);
            effects = state.apply(match password {
                Some(password) => Intent::Connect(broker, password),
                None => Intent::Open(broker),
            });
        }
        if let Some(route) = start.route.filter(|_| state.asking.is_none()) {
            state.history.replace(route);
        }
        let picture = start.screenshot.map(|(file, wait)| Picture {
            file,
            at: now + (wait.clamp(0.0, 600.0) * 1_000.0) as Millis,
            asked: false,
        });
        let mut app = App {
            state,
            shell: Shell::default(),
            screens: Screens::default(),
            net: None,
            picture,
            dressed: None,
            clock: None,
            aside: mpsc::channel(),
            effects,
            wanted: Vec::new(),
        };
        app.dress(ctx);
        app
    }

    /// The time stands at `now`.
    pub fn set_clock(&mut self, now: Millis) {
        self.clock = Some(now);
    }

    /// Takes what the network thread found, as if it had.
    pub fn fold(&mut self, ctx: &egui::Context, event: Event) {
        let effects = self.state.fold(event);
        self.perform(ctx, effects);
    }

    /// Draws one frame and does what was wanted in it.
    pub fn frame(&mut self, ui: &mut Ui) {
        self.state.now = self.clock.unwrap_or_else(unix_now);
        self.dress(ui.ctx());
        let cx = Cx::new(&self.state);
        let screens = &mut self.screens;
        let decision = self.shell.ui(ui, &cx, |ui| screens.ui(ui, &cx));
        let intents = cx.into_intents();
        let mut effects = match decision {
            Some(Decision::Confirmed) => self.state.confirm_danger(),
            Some(Decision::Refused) => {
                self.state.danger = None;
                Vec::new()
            }
            Some(Decision::NoticesSeen) => {
                self.state.unseen = 0;
                Vec::new()
            }
            None => Vec::new(),
        };
        if decision.is_some() || !intents.is_empty() {
            ui.ctx().request_repaint();
        }
        for intent in intents {
            effects.extend(self.state.apply(intent));
        }
        self.wanted = self.state.take_wanted();
        if let Some(net) = &mut self.net {
            net.want(&self.wanted);
        }
        self.perform(ui.ctx(), effects);
    }

    fn perform(&mut self, ctx: &egui::Context, effects: Vec<Effect>) {
        for effect in effects {
            let left = match &mut self.net {
                Some(net) => net.perform(effect),
                None => Some(effect),
            };
            match left {
                Some(Effect::Copy(text)) => ctx.copy_text(text),
                Some(Effect::Export { name, contents }) => self.export(ctx, name, contents),
                Some(Effect::LookUp(broker)) if self.net.is_some() => self.beside(ctx, move || {
                    let result = secrets::look_up(&broker);
                    Some(Event::LookedUp { broker, result })
                }),
                Some(Effect::Keep { broker, password }) if self.net.is_some() => {
                    self.beside(ctx, move || {
                        let result = match password {
                            Some(password) => secrets::keep(&broker, &password),
                            None => secrets::forget(&broker),
                        };
                        Some(Event::Kept { result })
                    })
                }
                Some(Effect::Choose) if self.net.is_some() => self.choose(ctx),
                Some(Effect::Save(settings)) => {
                    let saved = self.state.settings_file.as_ref().map(|file| files::save(file, &settings));
                    if let Some(Err(error)) = saved {
                        let notice =
                            Notice::new(Severity::Warning, crate::screens::settings::UNWRITABLE.get());
                        self.state.notify(notice.detail(error.to_string()));
                    }
                }
                Some(other) => self.effects.push(other),
                None => {}
            }
        }
    }

    /// Does something that may take its time, and takes what it finds as the network's events are taken.
    fn beside(&self, ctx: &egui::Context, work: impl FnOnce() -> Option<Event> + Send + 'static) {
        let (sender, ctx) = (self.aside.0.clone(), ctx.clone());
        let spawned = thread::Builder::new().name("beside".to_owned()).spawn(move || {
            // The window is gone only when the program ends.
            if let Some(event) = work()
                && sender.send(event).is_ok()
            {
                ctx.request_repaint();
            }
        });
        if let Err(error) = spawned {
            let notice =
                Notice::new(Severity::Error, text::common::NO_THREAD.get()).detail(error.to_string());
            // This end is ours as well.
            let _ = self.aside.0.send(Event::Said(notice));
        }
    }

    fn export(&mut self, ctx: &egui::Context, name: String, contents: String) {
        let exported = |name: &str, file: &std::path::Path, written: std::io::Result<()>| match written {
            Ok(()) => Notice::new(Severity::Success, text::common::EXPORTED.with(&[&file.display()])),
            Err(error) => Notice::new(Severity::Error, text::common::NOT_EXPORTED.with(&[&name]))
                .detail(error.to_string()),
        };
        let dialog = self.net.as_ref().and_then(|_| Dialog::new(text::t(text::common::EXPORT_TITLE)));
        let Some(dialog) = dialog else {
            let (file, written) = match files::export(&name, contents.as_bytes()) {
                Ok(file) => (file, Ok(())),
                Err(error) => (PathBuf::new(), Err(error)),
            };
            self.state.notify(exported(&name, &file, written));
            return;
        };
        let language = text::language();
        self.beside(ctx, move || {
            text::speak(language);
            let file = dialog.save(&name)?;
            let written = std::fs::write(&file, contents);
            Some(Event::Said(exported(&name, &file, written)))
        });
    }

    fn choose(&mut self, ctx: &egui::Context) {
        match Dialog::new(text::t(text::common::CHOOSE_TITLE)) {
            Some(dialog) => self.beside(ctx, move || {
                let file = dialog.open(("JSON", &["json"]))?.display().to_string();
                Some(Event::Chosen { file })
            }),
            None => self.state.notify(Notice::new(Severity::Info, text::t(text::common::NO_DIALOG))),
        }
    }

    fn dress(&mut self, ctx: &egui::Context) {
        let settings = &self.state.settings;
        text::speak(match settings.language {
            settings::Language::System => text::system_language(),
            settings::Language::English => text::Language::English,
            settings::Language::Chinese => text::Language::Chinese,
        });
        let system_is_light = ctx.system_theme() == Some(egui::Theme::Light);
        let tokens = match settings.look {
            Look::Dark => &theme::DARK,
            Look::Light => &theme::LIGHT,
            Look::HighContrast => &theme::HIGH_CONTRAST,
            Look::System if system_is_light => &theme::LIGHT,
            Look::System => &theme::DARK,
        };
        let dressed = (settings.look, system_is_light, settings.zoom);
        if self.dressed != Some(dressed) {
            theme::apply(ctx, tokens);
            if self.dressed.is_none_or(|(_, _, zoom)| zoom != settings.zoom) {
                ctx.set_zoom_factor(settings.zoom);
            }
            self.dressed = Some(dressed);
        }
    }

    fn take_picture(&mut self, ctx: &egui::Context) {
        let Some(picture) = &mut self.picture else { return };
        let now = unix_now();
        if now < picture.at {
            ctx.request_repaint_after(Duration::from_millis((picture.at - now).min(250)));
            return;
        }
        if picture.asked {
            return;
        }
        picture.asked = true;
        let (file, ctx_to_close) = (picture.file.clone(), ctx.clone());
        let callback = ScreenshotCallback::new(move |image| {
            if let Err(error) = files::write_png(&file, &image) {
                eprintln!("error: {}: {error}", file.display());
            }
            ctx_to_close.send_viewport_cmd(ViewportCommand::Close);
            ctx_to_close.request_repaint();
        });
        ctx.send_viewport_cmd(ViewportCommand::Screenshot(callback));
        ctx.request_repaint();
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.state.now = self.clock.unwrap_or_else(unix_now);
        let events = self.net.as_ref().map(Net::take_events).unwrap_or_default();
        let aside: Vec<Event> = self.aside.1.try_iter().collect();
        for event in events.into_iter().chain(aside) {
            self.fold(ctx, event);
        }
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.frame(ui);
        self.take_picture(ui.ctx());
    }
}

/// How long to wait before a frame that only shows new data.
pub fn data_frame_delay() -> Duration {
    Duration::from_millis(1_000 / DATA_FRAMES)
}

fn unix_now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}
