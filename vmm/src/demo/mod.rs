//! `fencepost demo`: camera frames go through the GPU to the display, and every pixel is checked.

mod bar;
mod check;
mod colour;
mod expect;
mod guest_report;
mod handoffs;
mod size;
mod sources;
mod summary;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use fencepost_devices::display;
use fencepost_devices::parameters::{self, Parameters, Value};
use fencepost_devices::registry::find;
use fencepost_trace::plain_text;
use indicatif::{ProgressBar, ProgressStyle};

use crate::allowance::Allowance;
use crate::cli::{CaptureFormat, DemoArgs};
use crate::config::{self, IommuKind, KernelConfig, MachineConfig, TracingConfig};
use crate::control::Control;
use crate::error::{HostError, plain};
use crate::launch::Launch;
use crate::outlet::{Delivery, Full};
use crate::picture_size::PictureSize;
use crate::run::{Hooks, claims, run};
use crate::sandbox::{self, Right, Sandbox};
use crate::shelf::{Content, Files};
use crate::{report, say, signals};
use bar::draw_target;
use check::{Checker, ConsoleTap, Findings};
use expect::Expectation;
use handoffs::Dropped;

/// The name of the console's copy.
const CONSOLE: &str = "console.log";
/// The display's refresh unless told otherwise; the camera has its source's own rate then.
const RATE_HZ: u16 = 60;
/// Recorder's bound: a captured frame and a flip for each frame shown, and as much again for those that are not.
const RECORDS_PER_FRAME: usize = 4;
const RECORDS_LEAST: usize = 1 << 18;

/// Runs the demo; the exit status is 0 when every pixel of every frame was right.
pub fn demo(args: &DemoArgs) -> Result<i32, HostError> {
    if args.iommu == IommuKind::Virtio {
        return Err(HostError::input(
            "--iommu virtio: the demo's initramfs has no driver for it, and its devices would wait for one",
            "write on or off, or use `fencepost run --root` or a scenario",
        ));
    }
    let source = args.camera_source.as_deref();
    let size = size::of_pictures(source, args.size)?;
    let launch = launch(args, size)?;
    if args.print_machine {
        return say::list(&config::print(&launch.machine)?);
    }
    let mut claims = claims(&launch)?;
    claims.pictures("--out", &args.out, check::PREFIX)?;
    claims.output("the console", &args.out.join(CONSOLE))?;
    let expectation = Expectation::new(source, args.format, size)
        .map_err(|error| HostError::Input(format!("--camera-source {error}")))?;
    if args.sandbox {
        sandbox::prepare();
    }
    let control = Arc::<Control>::default();
    let _signals = signals::watch(Arc::clone(&control));
    say::beside(&control, || show(args, &launch, expectation, &control))
}

/// Runs the machine and says what came of it.
fn show(
    args: &DemoArgs,
    launch: &Launch,
    expectation: Expectation,
    control: &Arc<Control>,
) -> Result<i32, HostError> {
    std::fs::create_dir_all(&args.out)
        .map_err(|error| HostError::file("--out", &args.out, &error, "name a folder that can be written"))?;
    let files = Files::start(&format!("--out {}", args.out.display()), control, &Allowance::default());
    let files = files.map_err(|error| HostError::Host(format!("no thread for files: {}", plain(&error))))?;
    let shelf = files.shelf(Full::Wait);
    let checker = Checker::new(Findings::new(expectation, args.out.clone(), shelf.clone()));
    let bar = progress_bar(args.frames);
    let mut hooks = Hooks::new(Box::new(ConsoleTap::new(checker.clone(), on_progress(&bar, args.frames))));
    hooks.frames = Some(Box::new(checker.clone()));
    hooks.records = RECORDS_LEAST.max(args.frames as usize * RECORDS_PER_FRAME);
    let dropped = Dropped::default();
    hooks.keep = Some(handoffs::keep(dropped.clone()));
    hooks.control = Arc::clone(control);
    hooks.sandbox = args.sandbox.then(|| Sandbox::default().allowing(&args.out, Right::Pictures));
    hooks.gates.push(Arc::clone(files.gate()));
    let outcome = run(launch, hooks);
    bar.finish_and_clear();
    let mut outcome = outcome?;
    shelf.put(args.out.join(CONSOLE), Content::Bytes(checker.findings().console.clone()));
    outcome.add(files.finish(), control);
    let (summary, status) = summary::lines(args, &outcome, &checker.findings(), &dropped);
    outcome.add(print(&summary, control)?, control);
    for line in report::lines(launch, false, &outcome) {
        say::line(line);
    }
    Ok(outcome.with_outputs(status))
}

/// Prints the summary.
fn print(summary: &[String], control: &Arc<Control>) -> Result<Delivery, HostError> {
    let screen = say::output(control)
        .map_err(|error| HostError::Host(format!("standard output: {}", plain(&error))))?;
    let text: String = summary.iter().map(|line| plain_text(line) + "\n").collect();
    // It never fails.
    let _ = screen.writer(Full::Wait).write_all(text.as_bytes());
    Ok(screen.finish())
}

/// The machine of the demo, as `fencepost run` would be told it.
fn launch(args: &DemoArgs, size: PictureSize) -> Result<Launch, HostError> {
    let format = match args.format {
        CaptureFormat::Nv12 => "nv12",
        CaptureFormat::Yuyv => "yuyv",
    };
    let job = format!("flow --frames {} --format {format}", args.frames);
    let sides = [
        ("width".to_string(), u64::from(size.width).into()),
        ("height".to_string(), u64::from(size.height).into()),
    ];
    let mut display = Parameters::from(sides.clone());
    display.insert("hz".into(), u64::from(args.rate).into());
    let unshowable = || size::unshowable(args.camera_source.as_deref(), size);
    let mode: display::Config = parameters::typed(&display).map_err(|_| unshowable())?;
    mode.check().map_err(|_| unshowable())?;
    let mut camera = Parameters::from(sides);
    if let Some(path) = &args.camera_source {
        camera = Parameters::from([("source".to_string(), text(path)?)]);
    }
    if args.rate != RATE_HZ {
        camera.insert("fps".into(), u64::from(args.rate).into());
    }
    let mut machine = MachineConfig {
        memory: args.memory,
        accel: args.accel,
        iommu: args.iommu,
        seed: args.seed,
        kernel: KernelConfig {
            path: Some(args.kernel.clone()),
            initramfs: vec![args.initrd.clone()],
            command_line: Some(format!("{} fencepost.run=\"{job}\"", args.append)),
        },
        tracing: TracingConfig {
            file: args.trace.clone(),
            categories: args.trace_categories,
            limit: args.trace_limit,
        },
        ..MachineConfig::default()
    };
    for (kind, parameters) in [("gpu", &args.gpu), ("camera", &camera), ("display", &display)] {
        find(kind).and_then(|model| machine.set(model, parameters)).map_err(HostError::Input)?;
    }
    Ok(Launch {
        moves: args.moves.clone(),
        timeout: args.timeout,
        memory_hash: args.memory_hash,
        ..Launch::new(machine)
    })
}

/// The name of a file as a parameter.
fn text(path: &Path) -> Result<Value, HostError> {
    let name = path.to_str().map(Value::from);
    name.ok_or_else(|| {
        HostError::input(format!("--camera-source {}: not UTF-8", path.display()), "name a link to the file")
    })
}

fn progress_bar(frames: u32) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(frames.into()), draw_target());
    let style = ProgressStyle::with_template("{msg:>8} [{bar:40}] {pos}/{len} frames, {elapsed}")
        .expect("the template is right");
    bar.set_style(style.progress_chars("=> "));
    bar.set_message("booting");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

/// Moves the bar; where there is no terminal, says a line now and then instead.
fn on_progress(bar: &ProgressBar, frames: u32) -> Box<dyn FnMut(u32) + Send> {
    let bar = bar.clone();
    let step = (frames / 6).max(1);
    Box::new(move |done| {
        bar.set_message("running");
        bar.set_position(done.into());
        if bar.is_hidden() && (done % step == 0 || done == frames) {
            say::in_passing(format_args!("fencepost: {done} of {frames} frames"));
        }
    })
}
