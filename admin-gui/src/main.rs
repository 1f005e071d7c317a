//! `leveret-admin`: the console in a window.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use eframe::egui;
use leveret_admin::app::{App, Start};
use leveret_admin::{files, net::Net};
use leveret_admin_model::Route;
use leveret_admin_model::intent::Password;
use leveret_admin_model::settings::{Look, SavedBroker};

/// The console of Leveret, and of RabbitMQ as far as its management API goes.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Connect at once: http://user:password@host:port
    #[arg(long, value_name = "URL", env = "LEVERET_ADMIN_URL", hide_env_values = true)]
    connect: Option<String>,
    /// Open this page: overview, queues, queues/%2F/orders, …
    #[arg(long, value_name = "PAGE")]
    route: Option<String>,
    /// Write a picture of the page to this file, then end
    #[arg(long, value_name = "FILE")]
    screenshot: Option<PathBuf>,
    /// Seconds to wait for data before the picture is taken
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    wait: f32,
    /// Use these settings instead of those of the user
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// Size of the window
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x800")]
    size: String,
    /// dark, light or high-contrast
    #[arg(long, value_name = "LOOK")]
    look: Option<String>,
    /// en or zh-CN
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let file = arguments.settings.clone().or_else(files::settings_file);
    let (mut settings, mistake) = files::load(file.as_deref());
    if let Some(look) = &arguments.look {
        settings.look = match look.as_str() {
            "dark" => Look::Dark,
            "light" => Look::Light,
            "high-contrast" => Look::HighContrast,
            other => anyhow::bail!("--look {other}: it is dark, light or high-contrast"),
        };
    }
    if let Some(language) = &arguments.language {
        settings.language = match language.as_str() {
            "en" => leveret_admin_model::settings::Language::English,
            "zh-CN" | "zh" => leveret_admin_model::settings::Language::Chinese,
            other => anyhow::bail!("--language {other}: it is en or zh-CN"),
        };
    }
    let route = match &arguments.route {
        Some(address) => Some(
            Route::parse(address)
                .ok_or_else(|| anyhow::anyhow!("--route {address}: there is no such page"))?,
        ),
        None => None,
    };
    let connect = match &arguments.connect {
        Some(url) => {
            let (mut broker, password) =
                SavedBroker::from_url(url).map_err(|reason| anyhow::anyhow!("--connect: {reason}"))?;
            let known =
                settings.brokers.iter().find(|known| known.url == broker.url && known.user == broker.user);
            if let Some(known) = known {
                broker = known.clone();
            }
            Some((broker, password.map(Password)))
        }
        None => None,
    };
    let (width, height) = arguments
        .size
        .split_once('x')
        .and_then(|(width, height)| Some((width.parse::<f32>().ok()?, height.parse::<f32>().ok()?)))
        .ok_or_else(|| anyhow::anyhow!("--size {}: it is WIDTHxHEIGHT, such as 1280x800", arguments.size))?;
    let start = Start {
        settings,
        // A picture is taken of settings as they are, and leaves them so.
        file: file.filter(|_| arguments.screenshot.is_none()),
        route,
        connect,
        screenshot: arguments.screenshot.map(|file| (file, arguments.wait)),
        mistake,
    };
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_app_id("leveret-admin")
            .with_title("Leveret")
            .with_inner_size([width, height])
            .with_min_inner_size([1024.0, 640.0]),
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        "leveret-admin",
        options,
        Box::new(|creation| {
            let ctx = creation.egui_ctx.clone();
            let net = Net::start(move || ctx.request_repaint_after(leveret_admin::app::data_frame_delay()))?;
            Ok(Box::new(App::new(&creation.egui_ctx, start, net)))
        }),
    )
    .map_err(|error| anyhow::anyhow!("cannot open a window: {error}"))
}
