"""A scene to pixels, with its exact depth, segmentation, boxes and normals. Analytic, numpy only, float32.

Four rays a pixel, each with its own corner of the soft light. A ray is (u / f, (v - horizon) / f, 1), so its
parameter t is the depth. About 140 scenes of 128 x 128 a second on one core; half of that where the allocator
returns every large array to the kernel (glibc: set MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ high).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from webui.training.scene import Scene, Thing
from webui.training.solids import Array, F, Vector, hit, near_ball, normal, solid
from webui.training.surroundings import SKIES, floor_colour, sky_colour, wall_colour

FLOOR, WALL, FIRST_THING = 1, 2, 3
"""Labels of a segmentation; 0 is sky."""

CORNERS = ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """What the camera sees, S x S pixels."""

    rgb: NDArray[np.uint8]
    """(S, S, 3)"""
    depth: Array
    """(S, S), distance along z; inf where there is only sky."""
    segments: NDArray[np.uint8]
    """(S, S): 0 sky, 1 floor, 2 wall, 3 + i the i-th thing."""
    boxes: tuple[Box | None, ...]
    """A thing's (x0, y0, x1, y1) in pixels, ends exclusive; None when it is hidden."""
    normals: Array | None
    """(S, S, 3) unit vectors, 0 in the sky; only where they were asked for."""


@dataclass(frozen=True)
class _Frame:
    """The rays of one picture (n = 2S * 2S, row by row) and what they have met so far."""

    scene: Scene
    size: int
    dx: Array
    dy: Array
    rows: Array
    """(2S,) height of each row of rays on the picture plane, 1 at the top."""
    floor_depth: Array
    """(2S,) depth at which each row of rays meets the floor, inf above the horizon."""
    first: int
    """The first row that sees the floor."""
    lights: Array
    """(4, 3) unit vectors towards the corners of the light."""
    corner: NDArray[np.int64]
    """(n,) which corner lights a ray."""
    rgb: Array
    depth: Array
    segments: NDArray[np.uint8]
    owner: NDArray[np.int8]
    """(n,) index of the thing that was met, -1 without one."""
    normals: Array | None

    @property
    def big(self) -> int:
        return self.size * 2

    @property
    def cut(self) -> int:
        """The first ray that sees the floor."""
        return self.first * self.big


def render(scene: Scene, size: int = 128, normals: bool = False) -> View:
    """The scene at size x size pixels."""
    frame = _frame(scene, size, normals)
    _paint_behind(frame)
    _meet_things(frame)
    _light_floor(frame)
    for index, thing in enumerate(scene.things):
        _light_thing(frame, index, thing)
    return _shrink(frame)


def _frame(scene: Scene, size: int, normals: bool) -> _Frame:
    big = size * 2
    axis = (np.arange(big, dtype=F) + F(0.5)) / F(size) - F(1)
    row_slope = (-axis - F(scene.horizon)) / F(scene.focal)
    floor_depth = np.where(row_slope < -1e-3, F(scene.height) / np.maximum(-row_slope, F(1e-3)), F(np.inf))
    limit = F(scene.wall_z) if scene.back == "wall" else F(60)
    first = int(np.argmax(floor_depth < limit)) if (floor_depth < limit).any() else big
    depth, segments = np.full(big * big, np.inf, F), np.zeros(big * big, np.uint8)
    depth[first * big :], segments[first * big :] = np.repeat(floor_depth[first:], big), FLOOR
    surface = np.zeros((3, big * big), F) if normals else None
    if surface is not None:
        surface[1, first * big :] = 1
    return _Frame(
        scene=scene,
        size=size,
        dx=np.broadcast_to(axis[None, :] / F(scene.focal), (big, big)).reshape(-1),
        dy=np.repeat(row_slope, big),
        rows=-axis,
        floor_depth=floor_depth,
        first=first,
        lights=_lights(scene),
        corner=((np.arange(big)[:, None] % 2) * 2 + np.arange(big)[None, :] % 2).reshape(-1),
        rgb=np.empty((3, big * big), F),
        depth=depth,
        segments=segments,
        owner=np.full(big * big, -1, np.int8),
        normals=surface,
    )


def _lights(scene: Scene) -> Array:
    light = np.asarray(scene.light, F)
    side = np.cross(light, (0, 1, 0))
    side /= np.linalg.norm(side)
    up = np.cross(side, light)
    lights = np.stack([light + 0.09 * (a * side + b * up) for a, b in CORNERS]).astype(F)
    lights /= np.linalg.norm(lights, axis=1, keepdims=True)
    return lights


def _paint_behind(frame: _Frame) -> None:
    """A wall, or a sky with its sun, moon and stars, in whole rows."""
    scene, cut, big = frame.scene, frame.cut, frame.big
    rows = frame.rows[: frame.first]
    if scene.back == "wall":
        slope = (rows - F(scene.horizon)) / F(scene.focal)
        colours = wall_colour(scene, F(scene.height) + F(scene.wall_z) * slope)
        frame.rgb[:, :cut] = np.repeat(colours, big, axis=1)
        frame.depth[:cut], frame.segments[:cut] = F(scene.wall_z), WALL
        if frame.normals is not None:
            frame.normals[2, :cut] = -1
        return
    frame.rgb[:, :cut] = np.repeat(sky_colour(scene, rows), big, axis=1)
    if scene.disc is not None:
        across, above, radius = scene.disc
        x, y = frame.dx[:cut] * F(scene.focal) - F(across), np.repeat(rows, big) - F(scene.horizon + above)
        inside = (x**2 + y**2) < F(radius * radius)
        colour = (1.0, 0.93, 0.70) if scene.back == "sunset" else (0.92, 0.93, 0.88)
        frame.rgb[:, :cut][:, inside] = np.asarray(colour, F)[:, None]
    for across, above, bright in () if scene.stars is None else scene.stars:
        i = int((1 - (scene.horizon + 0.06 + above * (0.94 - scene.horizon))) * frame.size) * 2
        j = int((across + 1) / 2 * (frame.size - 1)) * 2
        if 0 <= i < frame.first - 1:
            for row in (i, i + 1):
                frame.rgb[:, row * big + j : row * big + j + 2] = F(0.25 + 0.65 * bright)


def _meet_things(frame: _Frame) -> None:
    """The nearest hit of the rays through each thing's ball."""
    big = frame.big
    eye: Vector = (np.asarray(F(0)), np.asarray(F(frame.scene.height)), np.asarray(F(0)))
    for index, thing in enumerate(frame.scene.things):
        x0, y0, x1, y1 = _window(frame.scene, thing, big)
        if x0 >= x1 or y0 >= y1:
            continue
        at = (np.arange(y0, y1)[:, None] * big + np.arange(x0, x1)[None, :]).reshape(-1)
        at = at[near_ball(thing, eye, (frame.dx[at], frame.dy[at], np.ones(at.size, F)))]
        t = hit(thing, eye, (frame.dx[at], frame.dy[at], np.ones(at.size, F)))
        nearest = t < frame.depth[at]
        at = at[nearest]
        frame.depth[at], frame.segments[at], frame.owner[at] = t[nearest], FIRST_THING + index, index


def _window(scene: Scene, thing: Thing, big: int) -> Box:
    """The square of rays that can meet the thing's ball."""
    middle, ball = solid(thing).ball
    z = max(thing.z - ball, 0.5)
    u = scene.focal * thing.x / thing.z
    v = scene.horizon + scene.focal * (middle - scene.height) / thing.z
    r = scene.focal * ball / z * 1.08
    x0, x1 = (u - r + 1) / 2 * big, (u + r + 1) / 2 * big
    y0, y1 = (1 - v - r) / 2 * big, (1 - v + r) / 2 * big
    return max(0, int(x0)), max(0, int(y0)), min(big, int(x1) + 2), min(big, int(y1) + 2)


def _light_floor(frame: _Frame) -> None:
    """Colour, light, cast and contact shadows, and the air before the far floor."""
    scene, cut, big = frame.scene, frame.cut, frame.big
    sky = SKIES[scene.back]
    z = np.repeat(frame.floor_depth[frame.first :], big)
    x = z * frame.dx[cut:]
    lit, close = np.ones(x.size, F), np.ones(x.size, F)
    light = frame.lights[frame.corner[cut:]].T
    rows = -frame.floor_depth[frame.first :]
    for thing in scene.things:
        a = int(np.searchsorted(rows, -(thing.z + thing.r * 6.5))) * big
        b = int(np.searchsorted(rows, -(thing.z - thing.r * 2.2))) * big
        if a >= b:
            continue
        px, pz, towards = x[a:b], z[a:b], (light[0, a:b], light[1, a:b], light[2, a:b])
        near = np.nonzero(near_ball(thing, (px, np.asarray(F(0)), pz), towards))[0]
        if near.size:
            o = (px[near], np.full(near.size, F(1e-3)), pz[near])
            t = hit(thing, o, (towards[0][near], towards[1][near], towards[2][near]))
            lit[a + near[np.isfinite(t)]] = 0
        gap = np.sqrt((px - F(thing.x)) ** 2 + (pz - F(thing.z)) ** 2) / F(thing.r)
        close[a:b] *= F(1) - F(0.42) * np.exp(-np.maximum(gap - F(0.35), 0) * F(2.6))
    level = F(sky.ambient + 0.06) * close
    level = level + F(sky.strength) * (F(0.25) + F(0.75) * F(scene.light[1])) * lit * (F(0.6) + F(0.4) * close)
    ground = floor_colour(scene, x, z) * level * np.asarray(sky.tint, F)[:, None]
    if scene.back != "wall":
        haze = F(1) - np.exp(-np.maximum(z - F(7), 0) / F(22))
        ground = ground + (np.asarray(sky.horizon, F)[:, None] * F(0.8) - ground) * haze
    frame.rgb[:, cut:] = ground


def _light_thing(frame: _Frame, index: int, thing: Thing) -> None:
    """Ambient and direct light, shadows of the other thing (a ring shades itself), a highlight."""
    sky = SKIES[frame.scene.back]
    at = np.nonzero(frame.owner == index)[0]
    if not at.size:
        return
    dx, dy, t = frame.dx[at], frame.dy[at], frame.depth[at]
    px, py, pz = dx * t, F(frame.scene.height) + dy * t, t
    nx, ny, nz = normal(thing, (px, py, pz))
    if frame.normals is not None:
        frame.normals[:, at] = np.stack([nx, ny, nz])
    lx, ly, lz = frame.lights[frame.corner[at]].T
    facing = np.maximum(nx * lx + ny * ly + nz * lz, 0)
    lifted = (px + nx * F(0.03), py + ny * F(0.03), pz + nz * F(0.03))
    for other, caster in enumerate(frame.scene.things):
        if other == index and thing.shape != "ring":
            continue
        near = np.nonzero(near_ball(caster, lifted, (lx, ly, lz)) & (facing > 0))[0]
        if near.size:
            o = (lifted[0][near], lifted[1][near], lifted[2][near])
            facing[near[np.isfinite(hit(caster, o, (lx[near], ly[near], lz[near])))]] = 0
    length = np.sqrt(dx**2 + dy**2 + 1)
    hx, hy, hz = lx - dx / length, ly - dy / length, lz - 1 / length
    shine = np.maximum(nx * hx + ny * hy + nz * hz, 0) / np.sqrt(hx * hx + hy * hy + hz * hz)
    shine = F(thing.gloss * 1.1) * shine ** F(42) * (facing > 0)
    soft = F(sky.ambient) * (F(0.74) + F(0.26) * ny) * (F(1) - F(0.25) * np.exp(-py / F(0.18)))
    body = np.asarray(thing.rgb, F)[:, None] * (soft + F(sky.strength) * F(1.12) * facing)
    frame.rgb[:, at] = body * np.asarray(sky.tint, F)[:, None] + shine * F(sky.strength + 0.25)


def _shrink(frame: _Frame) -> View:
    """Four rays to a pixel: the mean colour, the label of at least two of them, the depth of those that have it."""
    size = frame.size
    four = np.minimum(frame.rgb, 1).reshape(3, size, 2, size, 2)
    mean = (four[:, :, 0, :, 0] + four[:, :, 0, :, 1] + four[:, :, 1, :, 0] + four[:, :, 1, :, 1]) * F(63.75)
    rgb = np.ascontiguousarray(np.moveaxis(mean + F(0.5), 0, -1)).astype(np.uint8)

    labels, depths = _corners(frame.segments, size), _corners(frame.depth, size)
    ordered = np.sort(labels, axis=0)
    label = np.where(ordered[1] == ordered[2], ordered[1], ordered[2])
    same = labels == label
    depth = np.where(same, depths, 0).sum(0) / same.sum(0)
    normals = None
    if frame.normals is not None:
        mean = frame.normals.reshape(3, size, 2, size, 2).mean((2, 4))
        normals = np.moveaxis(mean / (np.linalg.norm(mean, axis=0, keepdims=True) + F(1e-6)), 0, -1)
    boxes = tuple(_box(label == FIRST_THING + index) for index in range(len(frame.scene.things)))
    return View(rgb, depth.astype(F), label, boxes, normals)


def _corners(values: NDArray, size: int) -> NDArray:
    four = values.reshape(size, 2, size, 2)
    return np.stack([four[:, 0, :, 0], four[:, 0, :, 1], four[:, 1, :, 0], four[:, 1, :, 1]])


def _box(mask: NDArray[np.bool_]) -> Box | None:
    y, x = np.nonzero(mask)
    return (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1) if y.size else None
