//! A session: what a person set, what is loaded, what is shown. The page and the command line both sit on it.

pub mod calibration;
#[cfg(all(test, not(target_arch = "wasm32")))]
mod declarations;
mod engine;
mod fits;
mod library;
mod open;
mod parts;
pub mod protocol;
mod run;
pub mod spec;
pub mod sweep;
mod trace;

pub use crate::bundle;
pub use engine::Engine;
pub use library::Library;
pub use open::{COMPANIONS, CalibrationText, Loaded, OWN_CALIBRATION, open};
pub use run::{Show, run};

use crate::error::printable;
use crate::pace::Pace;
use crate::{Error, Result, eval, prune, reduce};
use parts::Told;
use protocol::{
    Catalog, Event, Level, ModelChoice, ModelView, Notice, Request, RunView, State, Status,
    VERSION, View,
};
use spec::{BACKENDS, Link, OWN, RunSpec};

/// Longest notice in characters.
const MAX_NOTICE: usize = 1500;

/// The page's side of the engine.
pub struct Session {
    engine: Engine,
    spec: RunSpec,
    view: View,
    runs: u64,
    emit: Box<dyn Fn(Event)>,
}

/// What a request leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Run,
    Nothing,
}

impl Session {
    pub fn new(library: Library, emit: impl Fn(Event) + 'static) -> Session {
        let view = View::default();
        let engine = Engine::new(library);
        Session { engine, spec: RunSpec::first(), view, runs: 0, emit: Box::new(emit) }
    }

    /// Takes a request in and answers it with a view; a run that it asks for is started by [`Session::run`].
    pub fn handle(&mut self, id: u64, request: Request) -> Next {
        self.view.notices.clear();
        self.view.answers = id;
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
            Request::Cancel => {
                self.view.run = None;
                self.view.status = ended(State::Cancelled, "Cancelled");
                Next::Nothing
            }
            Request::Reset => {
                self.spec = RunSpec::first();
                Next::Run
            }
            Request::Open { files } => {
                let files = files.into_iter().map(|f| (f.name, f.bytes)).collect();
                match self.open(files) {
                    Ok(()) => Next::Run,
                    Err(e) => self.refuse(&e),
                }
            }
        };
        if next == Next::Run {
            self.view.run = None;
            let text = "Starting".into();
            self.view.status =
                Status { state: State::Running, running: true, text, progress: None };
        }
        self.view.why_not = fits::why_not(&self.spec, self.engine.own());
        self.show();
        next
    }

    /// Opens a link. One that cannot be read leaves the settings alone and says why.
    fn follow(&mut self, fragment: &str, first: bool) -> Next {
        match Link::parse(fragment) {
            Ok(Some(link)) => {
                self.check_model(&link);
                for note in link.notes {
                    self.notice(Level::Warning, note);
                }
                self.spec = link.spec;
                Next::Run
            }
            Ok(None) if first => Next::Run,
            Ok(None) => Next::Nothing,
            Err(e) => {
                self.notice(Level::Error, format!("The link was not used. {e}"));
                if first { Next::Run } else { Next::Nothing }
            }
        }
    }

    /// Takes a model of the user's own and says what is unusual about it.
    fn open(&mut self, files: Vec<(String, Vec<u8>)>) -> Result<()> {
        let loaded = self.engine.open_own(files)?;
        loaded.view.notes.iter().for_each(|note| self.notice(Level::Warning, note.clone()));
        self.spec.set("model", OWN)
    }

    fn check_model(&mut self, link: &Link) {
        let here = bundle::Entry::find(&link.spec.model).map(|e| e.sha256()).unwrap_or_default();
        if !link.model_hash.is_empty() && !here.is_empty() && !here.starts_with(&link.model_hash) {
            let text = format!(
                "The link was made with other weights of {} ({}); these are {}. Figures will differ.",
                link.spec.model,
                link.model_hash,
                &here[..16]
            );
            self.notice(Level::Warning, text);
        }
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
        self.fit().await;
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

    /// A cut beyond what the chosen layers can save becomes the most that they can; which model it is decides that, so a
    /// slider cannot know. What is wrong otherwise is the run's to report.
    async fn fit(&mut self) {
        let Some(setting) = &mut self.spec.reduction else { return };
        let Ok(loaded) = self.engine.model(&self.spec.model).await else { return };
        let Some(most) = reduce::too_much(&loaded.config, setting) else { return };
        if setting.set_knob("cut", &most.to_string()).is_ok() {
            let text = format!(
                "With these layers of this model a cut of {most} is the most there is; it was set to that."
            );
            self.notice(Level::Warning, text);
        }
    }

    /// One run under a number of its own, told piece by piece.
    async fn attempt(&mut self, spec: &RunSpec, pace: &Pace) -> Result<()> {
        self.runs += 1;
        self.view.run = Some(self.runs);
        let loaded = self.engine.model(&spec.model).await?;
        self.view.model = Some(loaded.view.clone());
        let chosen = self.engine.device(spec.backend, &loaded).await?;
        self.view.backend = chosen.device.label();
        self.view.backend_why = chosen.why;
        self.show();
        let (mut told, number) = (Told::default(), self.runs);
        let (status, emit) = (&mut self.view.status, &self.emit);
        let mut show = |run: &RunView, now: Status| {
            for part in told.news(run) {
                emit(Event::Result { run: number, part });
            }
            if *status != now {
                *status = now.clone();
                emit(Event::Status { status: now });
            }
        };
        run(&mut self.engine, spec, number, pace, &mut show).await.map(drop)
    }

    fn show(&mut self) {
        self.view.settings = self.spec.values();
        self.view.fragment = self.spec.fragment(self.hash().unwrap_or_default());
        (self.emit)(Event::View(Box::new(self.view.clone())));
    }

    fn hash(&self) -> Option<&str> {
        let bundled = bundle::Entry::find(&self.spec.model).ok().map(|e| e.sha256());
        let own =
            self.view.model.as_ref().filter(|m| m.id == OWN).map(|m: &ModelView| m.sha256.as_str());
        bundled.or(own)
    }
}

fn ended(state: State, text: &str) -> Status {
    let progress = (state == State::Complete).then_some(1.0);
    Status { state, running: false, text: text.into(), progress }
}

/// Everything that can be chosen.
pub fn catalog() -> Catalog {
    let choice = |m: &bundle::Entry| ModelChoice {
        id: m.id.clone(),
        label: m.label.clone(),
        family: m.family.clone(),
        parameters: m.parameters,
        bytes: m.bytes,
        evaluations: m.evaluations.clone(),
    };
    Catalog {
        version: VERSION,
        models: bundle::INDEX.models.iter().map(choice).collect(),
        reductions: reduce::abouts(),
        prunings: prune::abouts(),
        evaluations: eval::abouts(),
        backends: BACKENDS.to_vec(),
    }
}
