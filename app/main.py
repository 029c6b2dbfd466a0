"""Build the app, and launch it."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import gradio as gr
import torch
from starlette.middleware import Middleware

from app.callers import Callers
from app.comparing.service import Comparisons
from app.endpoints.mount import mount
from app.endpoints.service import Endpoints
from app.export.downloads import download_routes
from app.export.service import Exports
from app.gallery.examples import FOLDER, read_examples
from app.gallery.opening import RecipeDesk
from app.gallery.service import Gallery
from app.geometry.jobs import StudyJobs
from app.geometry.memories import Memories
from app.geometry.service import Geometry
from app.hub.admission import Admission
from app.hub.service import HubDesk
from app.hub.source import visitors_hub
from app.job_desk import JobDesk
from app.jobs import Jobs, Limits
from app.learned import LearnedShelf
from app.learning.downloads import learned_routes
from app.learning.service import Learning
from app.learning.shelf import RunLimits, Runs
from app.learning.simplex import Chance
from app.ledger import Ledger
from app.library.cards import CardMiddleware
from app.library.shelf import Shelf, open_shelf
from app.live import Scheduler
from app.looking.service import Looking
from app.models.service import Models
from app.picker.service import MethodPicker
from app.presets.reading import FOLDER as PRESETS
from app.presets.reading import read_presets
from app.presets.service import Presets
from app.publish.service import Publishing
from app.quiet_space import without_header, without_reloading
from app.serving import BrowserFiles
from app.settings import Settings, SettingsError
from app.signing_in import SignInMiddleware
from app.studio.service import Studio
from app.studio.slow_merges import SlowMerges
from app.studio.workbench import Workbench
from app.tasks.service import TaskDesk, TaskPlaces
from app.uploads.route import upload_routes
from app.uploads.service import UploadDesk
from app.uploads.shelf import UploadLimits, Uploads
from app.views import studio as studio_view
from app.visitors import Cookie, VisitorMiddleware
from merging_core.errors import BasinError

__all__ = ["Basin", "create_app", "launch", "main"]

_DAY = 24 * 3600.0
_SPACE_UPLOADS, _ALL_UPLOADS = 20_000_000_000, 500_000_000_000
"""Bytes of all uploads together, on a Space and elsewhere."""
_FILES_A_VISITOR = 4
_ERRANDS = 2
"""Errands of different visitors that are done at the same time."""
_ASKING = 4
"""Questions to the Hub that wait for their answers at the same time."""
_CSS = """
.gradio-container, .gradio-container > main, .gradio-container .main, .gradio-container .wrap,
.gradio-container .contain {
  max-width: none !important; padding: 0 !important; margin: 0 !important; gap: 0 !important;
}
#basin-studio, #basin-studio > div { padding: 0; border: 0; background: none; overflow: visible }
#basin-studio > .wrap, footer { display: none !important }
"""


class Basin(gr.Blocks):
    """The page, with what works behind it; `start` is `launch` with everything that Basin wants of Gradio."""

    def __init__(  # noqa: PLR0913
        self,
        settings: Settings,
        studio: Studio,
        shelf: Shelf,
        jobs: Jobs,
        uploads: Uploads,
        files: BrowserFiles,
        runs: Runs,
        memories: Memories,
        lines: tuple[Scheduler, ...],
    ) -> None:
        self.settings = settings
        super().__init__(title="Basin", analytics_enabled=False, fill_width=True, fill_height=True)
        without_header(self)
        self.studio = studio
        self.shelf = shelf
        self.jobs = jobs
        self.uploads = uploads
        self.browser_files = files
        self.runs = runs
        self.memories = memories
        self._lines = lines

    @property
    def expects_oauth(self) -> bool:
        """Tell Gradio whether to answer the routes of signing in; the page has a link instead of Gradio's button."""
        return self.settings.sign_in

    def start(self, *, block: bool = True, quiet: bool = False) -> str:
        """Start the server and return its local address; with `block`, return when it is stopped."""
        settings = self.settings
        cookie = Cookie(settings.secret, framed=settings.space)
        middleware: Any = [
            Middleware(VisitorMiddleware, cookie=cookie),
            Middleware(CardMiddleware, cards=self.shelf.cards, root_path=settings.root_path),
            Middleware(SignInMiddleware),
        ]
        routes = [
            self.browser_files.route(),
            self.shelf.cards.route(),
            *download_routes(self.jobs),
            *upload_routes(self.uploads, cookie),
            *learned_routes(self.runs),
        ]
        with without_reloading():
            _, url, _ = self.launch(
                server_name=settings.host,
                server_port=settings.port,
                root_path=settings.root_path or None,
                css=_CSS,
                footer_links=[],
                run_history=False,
                show_error=False,
                share=False,
                pwa=False,
                ssr_mode=False,
                mcp_server=self.settings.mcp,
                enable_monitoring=False,
                max_file_size="1mb",
                prevent_thread_lock=True,
                quiet=True,
                app_kwargs={"routes": routes, "middleware": middleware},
            )
        self.studio.warm()
        self.jobs.open()
        self.browser_files.pack()
        if not quiet:
            print(f"Basin is open at {url}", flush=True)
        if block:
            try:
                self.block_thread()
            finally:
                self.stop()
        return str(url)

    def stop(self) -> None:
        """Stop the server and what works for it."""
        self.close(verbose=False)
        self.release()

    def release(self) -> None:
        """Give back what works for the page, whether it was ever shown or not."""
        self.jobs.close()
        self.uploads.close()
        self.runs.close()
        self.memories.close()
        for line in self._lines:
            line.close()
        self.studio.close()
        self.shelf.store.close()


def create_app(settings: Settings, workbench: Workbench | None = None) -> Basin:
    """Build the page and what works behind it; `workbench` is the zoo's unless another is given."""
    hub = visitors_hub(settings)
    allowed = settings.allowance
    jobs = Jobs(settings.scratch, limits=Limits(unfinished=allowed.jobs, seconds=allowed.seconds))
    uploads = Uploads(settings.scratch, _upload_limits(settings), used=jobs.used)
    learned = LearnedShelf(settings.data)
    if workbench is None:
        from app.studio.bench import ZooBench

        workbench = ZooBench(settings, hub=hub, uploads=uploads.checkpoints, learned=learned)
    ledger = Ledger(settings.data, shared_disk=settings.shared_disk)
    scheduler = Scheduler(workers=settings.workers)
    errands = Scheduler(workers=_ERRANDS, at_once=1)
    network = Scheduler(workers=_ASKING)
    looks = Scheduler()
    callers = Callers(settings.hub_token, alone=settings.alone, sign_in=settings.sign_in)
    slow = SlowMerges(workbench)
    studio = Studio(workbench, ledger, scheduler, errands, callers, slow)
    gallery = Gallery(read_examples(FOLDER), workbench, errands)
    models = workbench.models()
    looking = Looking(models, workbench.families, scheduler, errands, slow).functions() if models is not None else {}
    shelf = open_shelf(settings, workbench, ledger, errands)
    exports = Exports(
        workbench,
        ledger,
        errands,
        jobs,
        zoo=settings.zoo,
        models=settings.models,
        uploads=uploads.root,
        hub=hub,
        learned=learned.root,
        data=settings.scratch,
        largest=allowed.export_bytes,
    )
    files = BrowserFiles.collect()
    runs = Runs(settings.scratch, learned, _run_limits(settings))
    memories = Memories(settings.scratch)
    basin = Basin(settings, studio, shelf, jobs, uploads, files, runs, memories, (network, looks))
    picker = Models(workbench, errands, callers, uploads, hub, network)
    desk = JobDesk(jobs)
    parts = [gallery.functions(), looking, exports.functions(), desk.functions(), picker.functions()]
    parts.append(UploadDesk(uploads).functions())
    parts.append(Chance().functions())
    parts.append(MethodPicker(workbench, models, looks).functions())
    downloads = HubDesk(hub, network, jobs) if hub is not None else None
    if downloads is not None:
        parts.append(downloads.functions())
    if settings.hub is not None:
        parts.append(Publishing(jobs, network, callers, settings.hub).functions())
    if models is not None:
        parts.append(Comparisons(workbench, errands, jobs, settings, uploads=uploads.root, hub=hub).functions())
        learning = Learning(workbench, models, errands, jobs, runs, settings, uploads=uploads, hub=hub)
        parts.append(learning.functions())
        study_jobs = StudyJobs(models, memories, jobs, settings, uploads=uploads.root, learned=learned.root, hub=hub)
        parts.append(Geometry(workbench, scheduler, errands, slow, jobs, study_jobs, memories, learned).functions())
        places = TaskPlaces(settings.zoo, settings.models, settings.tasks, uploads, settings.task_budget)
        parts.append(TaskDesk(models, hub, places, workbench.families, network, jobs).functions())
        if hub is not None:
            parts.append(Presets(read_presets(PRESETS), models.shelf, hub, network).functions())
    admission = Admission(hub, network)
    parts.append(RecipeDesk(workbench, admission).functions())
    rooms = shelf.functions | {name: function for part in parts for name, function in part.items()}
    with basin:
        functions = {**studio.functions(), **rooms}
        studio_view.build({name: admission.before(one) for name, one in functions.items()}, files, callers)
        endpoints = Endpoints(workbench, studio, errands, admission, slow, desk, downloads)
        mount(endpoints, settings.address or settings.root_path, callers)
    return basin


def _upload_limits(settings: Settings) -> UploadLimits:
    """Return how much may be uploaded: strangers who share a Space get a day, and little of its disk together."""
    most = settings.allowance.upload_bytes
    total, seconds = (_SPACE_UPLOADS, _DAY) if settings.space else (_ALL_UPLOADS, None)
    return UploadLimits(most, _FILES_A_VISITOR * most, total, seconds)


def _run_limits(settings: Settings) -> RunLimits:
    """Return how much may be learned: strangers who share a Space get little of its disk together."""
    most = settings.allowance.upload_bytes
    return RunLimits(visitor=4 * most, total=_SPACE_UPLOADS if settings.space else _ALL_UPLOADS)


def launch(settings: Settings, *, block: bool = True, quiet: bool = False) -> Basin:
    """Build and start."""
    basin = create_app(settings)
    try:
        basin.start(block=block, quiet=quiet)
    except BaseException:
        basin.release()
        raise
    return basin


def main() -> int:
    """Start Basin as the environment says; 2 if it says something impossible."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        launch(settings)
    except (BasinError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0
