"""The ServerApp: from a run's configuration to its report. Flower calls ``main``; everything else is in the rooms."""

from __future__ import annotations

import logging
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from fedlung.config import RunConfig
from fedlung.errors import FedlungError
from fedlung.evaluation.report import render_report
from server.course import federate
from server.loso import run_plan
from server.rundir import RunDir

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """One run, or a plan of runs. An error is written into the run's lines and raised again: Flower calls it failed."""
    show_log()
    config = RunConfig.from_run_config(context.run_config)
    if config.protocol == "loso":
        run_plan(grid, config)
        return
    opened = RunDir.resume if config.resume else RunDir.create
    run = opened(Path(config.folder or "runs").resolve(), config.name, config)
    with run.alone():
        try:
            federate(grid, run)
            render_report(run.folder)
            run.finish()
        except BaseException as error:
            run.append("failed", reason=str(error) if isinstance(error, FedlungError) else repr(error))
            raise


def show_log() -> None:
    """Put the server's own lines where Flower shows a ServerApp's output. Nothing else gains a handler."""
    logger = logging.getLogger("server")
    logger.setLevel(logging.INFO)
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
