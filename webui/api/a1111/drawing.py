"""Making pictures by the convention: txt2img, img2img, progress, interrupt, skip, and the task calls under /internal."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections import OrderedDict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from webui import __version__
from webui.api.a1111.fields import Order, Txt2Img, order
from webui.api.a1111.img2img import Img2Img, orders
from webui.api.failures import raise_failure
from webui.api.threads import waiting
from webui.contract import repainting_fields
from webui.contract.errors import RequestError
from webui.contract.request import GenerationRequest
from webui.contract.result import GeneratedImage
from webui.workspace.app import App
from webui.workspace.gallery import encoded
from webui.workspace.jobs import Job

TASKS_AT_MOST = 1000
SECONDS_TO_LISTEN = 5.0


class Tasks:
    """Which job belongs to the task name that a client gave (force_task_id); the newest TASKS_AT_MOST."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, str] = OrderedDict()

    def add(self, task: str, job: str) -> None:
        with self._lock:
            self._jobs[task] = job
            while len(self._jobs) > TASKS_AT_MOST:
                self._jobs.popitem(last=False)

    def job(self, task: str) -> str:
        """The job's id; a job's own id stands for itself."""
        with self._lock:
            return self._jobs.get(task, task)

    def task(self, job: str) -> str:
        with self._lock:
            return next((task for task, known in self._jobs.items() if known == job), job)


class TaskQuestion(BaseModel):
    id_task: str | None = None
    id_live_preview: int | None = None
    live_preview: bool | None = None


def router(app: App) -> APIRouter:
    routes = APIRouter(tags=["A1111: drawing"])
    tasks = Tasks()

    @routes.post("/sdapi/v1/txt2img")
    async def txt2img(body: Txt2Img) -> dict[str, Any]:
        """Draws, and answers when all pictures are there. A client that goes away ends nothing."""
        wanted = await run_in_threadpool(order, app, body)
        job, drawn = await waiting(lambda: draw(app, tasks, [wanted], body.force_task_id or ""))
        return await run_in_threadpool(answer, app, body.model_dump(), wanted, job, drawn)

    @routes.post("/sdapi/v1/img2img")
    async def img2img(body: Img2Img) -> dict[str, Any]:
        """Repaints pictures, or what is masked of them; answers as txt2img does. The pictures that came are only sent back
        where include_init_images asks for them."""
        wanted = await run_in_threadpool(orders, app, body)
        job, drawn = await waiting(lambda: draw(app, tasks, wanted, body.force_task_id or "", "img2img"))
        sent = body.model_dump()
        if not body.include_init_images:
            sent |= {"init_images": None, "mask": None}
        return await run_in_threadpool(answer, app, sent, wanted[0], job, drawn)

    @routes.get("/sdapi/v1/progress")
    def progress(skip_current_image: bool = False) -> dict[str, Any]:
        return progress_of(app, tasks, skip_current_image)

    @routes.post("/sdapi/v1/interrupt")
    def interrupt() -> dict[str, Any]:
        """Ends the running job; with nothing running there is nothing to do."""
        if app.queue.running() is not None:
            app.queue.interrupt()
        return {}

    @routes.post("/sdapi/v1/skip")
    def skip() -> dict[str, Any]:
        job = app.queue.running()
        if job is not None and job.request.batch_count > 1:
            raise RequestError("One batch of several cannot be skipped yet. Use /sdapi/v1/interrupt, which ends the whole job.")
        if job is not None:
            app.queue.interrupt(job.id)
        return {}

    @routes.get("/internal/ping")
    def ping() -> dict[str, Any]:
        return {}

    @routes.get("/internal/pending-tasks")
    def pending() -> dict[str, Any]:
        waits = [tasks.task(job.id) for job in app.queue.jobs() if job.state == "waiting"]
        return {"size": len(waits), "tasks": waits}

    @routes.post("/internal/progress")
    def task_progress(question: TaskQuestion) -> dict[str, Any]:
        return task_of(app, tasks.job(question.id_task or ""), question)

    return routes


# ---------------------------------------------------------------- the answer to txt2img


def draw(app: App, tasks: Tasks, wanted: list[Order], task: str, tab: str = "txt2img") -> tuple[Job, list[GeneratedImage]]:
    """Put the orders into the queue, one after the other has ended, and gather their pictures as they come: the queue keeps
    only recent ones. What did not finish ends it.

    Returns:
        the last job, and the pictures of all.
    """
    gathered: list[GeneratedImage] = []
    with app.queue.subscribe() as news:
        for each in wanted:
            drawn: dict[int, GeneratedImage] = {}
            job = app.queue.submit(each.request, tab=tab, save=each.save)
            if task:
                tasks.add(task, job.id)
            while True:
                job = app.queue.job(job.id)
                for image in job.images:
                    picture = app.queue.picture(job.id, image.index) if image.index not in drawn else None
                    if isinstance(picture, GeneratedImage):
                        drawn[image.index] = picture
                if job.has_ended:
                    break
                news.get(SECONDS_TO_LISTEN)
            gathered += [drawn[index] for index in sorted(drawn)]
            if job.state != "finished":
                break
    return job, gathered


def answer(app: App, sent: dict[str, Any], wanted: Order, job: Job, drawn: list[GeneratedImage]) -> dict[str, Any]:
    """Pictures, the request as it was sent, and info: JSON as a string, because clients parse it a second time.

    Raises:
        WebUIError: the job failed and there is no picture to give.
    """
    if job.state == "failed" and not drawn:
        raise_failure(job)
    settings = wanted.override.settings
    problems = [image.error for image in job.images if image.error] + ([job.error] if job.error else [])
    return {
        "images": [in_base64(encoded(each, settings.image_format, settings)) for each in drawn] if wanted.send else [],
        "parameters": sent,
        "info": json.dumps(info(app, wanted.request, job, drawn, problems), ensure_ascii=False),
    }


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def info(app: App, asked: GenerationRequest, job: Job, drawn: list[GeneratedImage], problems: list[str]) -> dict[str, Any]:
    """What the pictures were made with; where there is none, what was asked."""
    requests = [picture.request for picture in drawn]
    request = requests[0] if requests else job.request if isinstance(job.request, GenerationRequest) else asked
    found = app.checkpoints.find(request.checkpoint)
    strength = request.strength if request.image else request.hires_strength if request.has_hires else None
    told = {key: value for key, value in repainting_fields.fields(request).items() if value and key != repainting_fields.STRENGTH}
    checkpoint = drawn[0].checkpoint if drawn else found.checkpoint_name
    refiner = {"Refiner": request.refiner, "Refiner switch at": request.refiner_switch} if request.refiner else {}
    return {
        "prompt": request.prompt,
        "all_prompts": [each.prompt for each in requests],
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": [each.negative_prompt for each in requests],
        "seed": request.seed,
        "all_seeds": [each.seed for each in requests],
        "subseed": request.variation_seed,
        "all_subseeds": [each.variation_seed for each in requests],
        "subseed_strength": request.variation_strength,
        "width": request.width,
        "height": request.height,
        "sampler_name": request.sampler,
        "cfg_scale": request.guidance,
        "steps": request.steps,
        "batch_size": job.request.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": checkpoint.name,
        "sd_model_hash": checkpoint.hash,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": request.seed_from_width or -1,
        "seed_resize_from_h": request.seed_from_height or -1,
        "denoising_strength": strength,
        "extra_generation_params": {"Schedule type": request.schedule} | refiner | told,
        "index_of_first_image": 0,
        "infotexts": [picture.infotext for picture in drawn],
        "styles": [],
        "job_timestamp": stamp(job),
        "clip_skip": request.clip_skip,
        "is_using_inpainting_conditioning": bool(found.family and "mask" in found.family.inputs),
        "version": f"latent-webui {__version__}",
        "errors": problems,
        "notes": list(dict.fromkeys(note for picture in drawn for note in picture.notes)),
    }


def stamp(job: Job) -> str:
    return time.strftime("%Y%m%d%H%M%S", time.localtime(job.started or job.created))


# ---------------------------------------------------------------- how far it is


def progress_of(app: App, tasks: Tasks, skip_picture: bool) -> dict[str, Any]:
    """Of the running job; all zeros and empty while there is none."""
    job = app.queue.running()
    state: dict[str, Any] = {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    }
    if job is None:
        return {
            "progress": 0.0,
            "eta_relative": 0.0,
            "state": state,
            "current_image": None,
            "textinfo": None,
            "current_task": None,
        }
    state |= {
        "job": tasks.task(job.id),
        "job_count": job.request.batch_count,
        "job_timestamp": stamp(job),
        "job_no": max(0, job.picture - 1) // job.request.batch_size,
        "sampling_step": job.step,
        "sampling_steps": job.steps,
    }
    preview = None if skip_picture else app.queue.preview(job.id)
    return {
        "progress": job.fraction,
        "eta_relative": job.seconds_left or 0.0,
        "state": state,
        "current_image": in_base64(preview) if preview else None,
        "textinfo": None,
        "current_task": tasks.task(job.id),
    }


def task_of(app: App, id: str, question: TaskQuestion) -> dict[str, Any]:
    jobs = app.queue.jobs()
    job = next((job for job in jobs if job.id == id), None)
    is_running, is_waiting = job is not None and job.state == "running", job is not None and job.state == "waiting"
    picture, number = None, question.id_live_preview if question.id_live_preview is not None else -1
    if job is not None and is_running and question.live_preview is not False and job.preview not in (0, number):
        preview = app.queue.preview(job.id)
        if preview:
            picture, number = "data:image/jpeg;base64," + in_base64(preview), job.preview
    waits = [other.id for other in jobs if other.state == "waiting"]
    return {
        "active": is_running,
        "queued": is_waiting,
        "completed": job is not None and job.has_ended,
        "progress": job.fraction if job is not None and is_running else None,
        "eta": job.seconds_left if job is not None and is_running else None,
        "live_preview": picture,
        "id_live_preview": number,
        "textinfo": f"In queue: {waits.index(id) + 1}/{len(waits)}" if is_waiting and id in waits else None,
    }
