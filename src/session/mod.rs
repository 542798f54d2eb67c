//! A session: what a person set, what is loaded, what is shown. The page and the command line both sit on it.

mod asked;
pub mod calibration;
mod catalog;
mod compare;
mod controls;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod declarations;
mod desk;
mod engine;
mod file;
mod fits;
mod forecast;
mod help;
mod helper;
mod insight;
mod item_views;
mod known;
mod library;
pub mod link;
mod link_text;
mod open;
mod own_data;
mod parts;
pub mod peers;
mod point;
pub mod protocol;
mod real_size;
mod run;
mod running;
mod series;
pub mod shape;
pub mod spec;
mod states;
pub mod sweep;
mod trace;
#[cfg(not(target_arch = "wasm32"))]
mod tuned;
mod words;

pub use crate::bundle;
pub use catalog::catalog;
pub use compare::compare;
pub use desk::Desk;
pub use engine::Engine;
pub use help::{Emit, Help};
pub use helper::Helper;
pub use library::Library;
#[cfg(target_arch = "wasm32")]
pub use library::{at_hand, forget, take_over};
pub use open::{COMPANIONS, CalibrationText, Loaded, OWN_CALIBRATION, open};
pub use run::{Details, Show, run, run_with_items};

use crate::error::printable;
use crate::method::Setting;
use crate::pace::Pace;
use crate::weights::Bytes;
use crate::{Error, Result, eval};
use asked::Question;
use link::Link;
use own_data::OwnData;
use parts::Told;
use protocol::{Event, Level, ModelView, Notice, Part, Request, RunView, State, Status, View};
use series::Series;
use spec::{OWN, RunSpec};
use std::cell::RefCell;
use std::rc::Rc;
use sweep::{Sweeper, Timing};

/// Longest notice in characters.
const MAX_NOTICE: usize = 1500;

/// The page's side of the engine.
pub struct Session {
    engine: Engine,
    spec: RunSpec,
    view: View,
    runs: u64,
    /// A link whose own files are not open yet.
    awaited: Option<Link>,
    /// Data of the user's own.
    data: Option<OwnData>,
    sweep: Option<Series>,
    sweeper: Sweeper,
    /// Measured when nothing else is on.
    asked: Option<Question>,
    /// For what is asked while a run holds the session.
    desk: Rc<RefCell<Option<Desk>>>,
    emit: Emit,
}

/// The name of the points that are runs.
const RUN: &str = "run";

/// What a request leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// [`Session::run`] with the new settings.
    Run,
    /// No run: none was asked for, or the request was refused and the settings are as before.
    Nothing,
}

impl Session {
    /// A session with the first settings and nothing loaded; `emit` hears every event, in order.
    pub fn new(library: Library, emit: impl Fn(Event) + 'static) -> Session {
        let view = View::default();
        let (spec, emit) = (RunSpec::first(), Rc::new(emit) as Emit);
        let mut engine = Engine::new(library);
        engine.help = Help::new(emit.clone());
        let sweeper = Sweeper::new(spec.backend, Timing::InTurns);
        let (awaited, data, sweep) = (None, None, None);
        let (asked, desk) = (None, Rc::default());
        Session { engine, spec, view, runs: 0, awaited, data, sweep, sweeper, asked, desk, emit }
    }

    /// Where the cost on paper can be asked for at any time; empty before there is a model.
    pub fn desk(&self) -> Rc<RefCell<Option<Desk>>> {
        self.desk.clone()
    }

    /// Where what other workers have scored is put at any time.
    pub fn help(&self) -> Help {
        self.engine.help.clone()
    }

    /// Takes a request in and answers it with a view; a run that it asks for is started by [`Session::run`].
    pub fn handle(&mut self, id: u64, request: Request) -> Next {
        self.view.notices.clear();
        self.view.answers = id;
        let model = self.spec.model.clone();
        let next = match request {
            Request::Hello { fragment, .. } => {
                (self.emit)(Event::Catalog(catalog()));
                self.follow(&fragment, true)
            }
            Request::Link { fragment } => self.follow(&fragment, false),
            Request::Set { name, value } => match self.spec.set(&name, &value) {
                Ok(()) => Next::Run,
                Err(e) => self.refuse(&e),
            },
            Request::Run => Next::Run,
            Request::Sweep { knob, values } => {
                match Series::new(&self.spec, &knob, &values) {
                    Ok(sweep) => {
                        self.sweep = Some(sweep);
                        self.sweeper = Sweeper::new(self.spec.backend, Timing::InTurns);
                    }
                    Err(e) => self.notice(Level::Error, e.to_string()),
                }
                Next::Nothing
            }
            Request::Pause => {
                self.sweep.iter_mut().for_each(|s| s.view.paused = !s.view.paused);
                Next::Nothing
            }
            Request::RealSize { shape } => {
                self.asked = Some(Question::RealSize(shape));
                Next::Nothing
            }
            Request::Peers => {
                self.asked = Some(Question::Peers);
                Next::Nothing
            }
            // Answered while a run is on, or not by a session.
            Request::Ping
            | Request::Preview { .. }
            | Request::Compare { .. }
            | Request::Scored { .. }
            | Request::Assist(_) => Next::Nothing,
            Request::Cancel => {
                self.view.run = None;
                self.sweep = None;
                self.asked = None;
                self.view.status = ended(State::Cancelled, "Cancelled");
                Next::Nothing
            }
            Request::Reset => {
                self.spec = RunSpec::first();
                Next::Run
            }
            Request::Open { files, origin, random } => {
                let files = files.into_iter().map(|f| (f.name, f.bytes)).collect();
                let files = if random { shape::in_place_of(files) } else { Ok(files) };
                let opened = files.and_then(|files| self.open(files, &origin));
                opened.unwrap_or_else(|e| self.refuse(&e))
            }
            Request::OpenData { name, bytes } => {
                self.open_data(&name, bytes).unwrap_or_else(|e| self.refuse(&e))
            }
        };
        // What is measured is what is open, whatever a link was made with.
        if let Some(data) = &self.data {
            self.spec.data = data.hash().to_string();
        }
        if next == Next::Run {
            self.view.run = None;
            let text = "Starting".into();
            self.view.status =
                Status { state: State::Running, running: true, text, progress: None };
        }
        if self.spec.model != model {
            self.sweep = None;
        }
        self.view.why_not = self.why_not();
        self.show();
        next
    }

    /// Opens a link. One that cannot be read leaves the settings alone and says why.
    fn follow(&mut self, fragment: &str, first: bool) -> Next {
        match Link::parse(fragment) {
            Ok(Some(link)) => {
                let next = self.check_model(&link);
                let next = self.check_data(&link, next);
                for note in link.notes {
                    self.notice(Level::Warning, note);
                }
                self.spec = link.spec;
                next
            }
            Ok(None) if first => Next::Run,
            Ok(None) => Next::Nothing,
            Err(e) => {
                self.notice(Level::Error, format!("The link was not used. {e}"));
                if first { Next::Run } else { Next::Nothing }
            }
        }
    }

    /// Says so where the weights are not those of the link. Files that are not open yet are checked when they are.
    fn check_model(&mut self, link: &Link) -> Next {
        if link.spec.model == OWN && self.engine.own().is_none() {
            self.notice(Level::Warning, link.waits());
            self.awaited = Some(link.clone());
            self.view.model = None;
            self.view.status = Status::default();
            return Next::Nothing;
        }
        self.awaited = None;
        let own = |_| self.engine.own().map_or("", Loaded::sha256);
        let here = || bundle::Entry::find(&link.spec.model).map_or_else(own, |e| e.sha256());
        link.other_weights(&here).into_iter().for_each(|text| self.notice(Level::Warning, text));
        Next::Run
    }

    /// Takes the user's own model, for the link that waits for it or with the settings as they are.
    fn open(&mut self, files: Vec<(String, Bytes)>, origin: &str) -> Result<Next> {
        let origin = spec::origin(origin)?;
        let loaded = self.engine.open_own(files)?;
        loaded.notes.iter().for_each(|note| self.notice(Level::Warning, note.clone()));
        self.spec.set("model", OWN)?;
        self.spec.origin = origin;
        let awaited = self.awaited.take();
        let other = awaited.and_then(|link| link.other_weights(&|| loaded.sha256()));
        other.into_iter().for_each(|text| self.notice(Level::Warning, text));
        let unfit = self.why_not().remove("eval").unwrap_or_default();
        let waits = eval::is_of_own_data(&self.spec.evaluation);
        if let Some(why) = unfit.get(self.spec.evaluation.about.id).filter(|_| !waits) {
            let fitting = eval::abouts().into_iter().find(|a| !unfit.contains_key(a.id));
            if let Some(about) = fitting {
                let old = self.spec.evaluation.about.label;
                let text =
                    format!("{old} does not judge this model: {why}. {} does now.", about.label);
                self.notice(Level::Info, text);
                self.spec.evaluation = Setting::default_of(about);
            }
        }
        Ok(Next::Run)
    }

    fn refuse(&mut self, error: &Error) -> Next {
        self.notice(Level::Error, error.to_string());
        Next::Nothing
    }

    fn notice(&mut self, level: Level, text: String) {
        self.view.notices.push(Notice { level, text: printable(&text, MAX_NOTICE) });
    }

    /// Runs the settings as they are. A lost GPU is opened again once; then the CPU takes over.
    pub async fn run(&mut self, pace: &Pace) {
        // A model whose transfer was broken off is not asked for again.
        if matches!(self.fit().await, Err(Error::Cancelled)) {
            return;
        }
        let mut spec = self.spec.clone();
        let mut result = self.attempt(&spec, pace).await;
        for second in [true, false] {
            let Err(Error::Gpu(why)) = &result else { break };
            let goes_on_gpu = second && spec.backend != spec::Backend::Cpu;
            let again = if goes_on_gpu { "once more on the GPU" } else { "on the CPU" };
            if !goes_on_gpu {
                spec.backend = spec::Backend::Cpu;
            }
            let text = format!("The GPU failed ({why}). The run starts again {again}.");
            self.notice(Level::Warning, text);
            result = self.attempt(&spec, pace).await;
        }
        match result {
            Ok(()) => self.view.status = ended(State::Complete, "Run complete"),
            // Whoever cancelled has already said what comes next.
            Err(Error::Cancelled) => return,
            Err(e) => {
                self.notice(Level::Error, e.to_string());
                self.view.run = None;
                self.view.status = ended(State::Failed, "Stopped by an error");
            }
        }
        self.show();
    }

    /// What is wrong with the model or the settings otherwise is the run's to report.
    async fn fit(&mut self) -> Result<()> {
        let loaded = self.engine.model(&self.spec.model).await?;
        let note = self.spec.fit(&loaded.config);
        note.into_iter().for_each(|text| self.notice(Level::Warning, text));
        Ok(())
    }

    /// One run under a number of its own, told piece by piece.
    async fn attempt(&mut self, spec: &RunSpec, pace: &Pace) -> Result<()> {
        self.runs += 1;
        self.view.run = Some(self.runs);
        let loaded = self.engine.model(&spec.model).await?;
        self.view.model = Some(loaded.view());
        self.lay_out(&loaded);
        let chosen = self.engine.device(spec.backend, &loaded).await?;
        self.view.backend = chosen.device.label();
        self.view.backend_why = chosen.why;
        self.show();
        let (mut told, number) = (Told::default(), self.runs);
        let (view, emit) = (&mut self.view, &self.emit);
        let mut show = |run: &RunView, now: Status| {
            for part in told.news(run) {
                emit(Event::Result { run: number, part });
            }
            if view.status != now {
                view.status = now.clone();
                emit(Event::Status { status: now });
            }
            // The hash of files of the user's own is known only now, and it is a part of the link.
            if let Some(model) = view.model.as_mut().filter(|model| model.sha256.is_empty())
                && !run.link.is_empty()
            {
                model.sha256 = loaded.known_sha256().into();
                view.fragment = run.link.clone();
                emit(Event::View(Box::new(view.clone())));
            }
        };
        let whole = run_with_items(&mut self.engine, spec, number, pace, &mut show).await;
        let (_, details) = whole?;
        let Details { point, read: items, caution, problems, .. } = details;
        self.left_out(&problems);
        caution.into_iter().for_each(|text| self.notice(Level::Warning, text));
        (self.emit)(Event::Result { run: number, part: Part::Items { items } });
        (self.emit)(Event::Point { series: RUN.into(), point: Box::new(point) });
        Ok(())
    }

    fn show(&mut self) {
        self.view.sweep = self.sweep.as_ref().map(|sweep| sweep.view.clone());
        self.view.data = self.data.as_ref().map(|data| data.view.clone());
        let mut desk = self.desk.borrow_mut();
        match desk.as_mut().filter(|desk| desk.spec.model == self.spec.model) {
            Some(desk) => desk.spec = self.spec.clone(),
            // What was counted with the model before would be the cost of another one.
            None => *desk = None,
        }
        drop(desk);
        self.view.settings = self.spec.values();
        self.view.fragment = self.spec.fragment(self.hash().unwrap_or_default());
        (self.emit)(Event::View(Box::new(self.view.clone())));
    }

    fn lay_out(&mut self, loaded: &Loaded) {
        let prompt = loaded.tokenizer.encode(&self.spec.prompt).map_or(0, |ids| ids.len());
        *self.desk.borrow_mut() = Some(Desk {
            spec: self.spec.clone(),
            config: loaded.config.clone(),
            parameters: loaded.parameters,
            tokens: prompt.max(run::SPEED_PROMPT),
        });
    }

    fn hash(&self) -> Option<&str> {
        let bundled = bundle::Entry::find(&self.spec.model).ok().map(|e| e.sha256());
        let own =
            self.view.model.as_ref().filter(|m| m.id == OWN).map(|m: &ModelView| m.sha256.as_str());
        // A link that waits for its files keeps the hash it came with.
        let awaited = self.awaited.as_ref().map(|link| link.model_hash.as_str());
        bundled.or(own).or(awaited)
    }
}

fn ended(state: State, text: &str) -> Status {
    let progress = (state == State::Complete).then_some(1.0);
    Status { state, running: false, text: text.into(), progress }
}
