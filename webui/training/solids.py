"""The five solids: where a ray meets them, and which way their surface looks. numpy only, float32.

Each solid is defined in its own frame: the origin under its centre on the floor, y up. `hit`, `normal` and
`near_ball` take rays and points of the world and turn them into that frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from webui.training.scene import Thing

F = np.float32
Array = NDArray[Any]
"""float32 everywhere; numpy's stubs lose the width in mixed arithmetic."""
Vector = tuple[Array, Array, Array]
"""Components x, y, z, each (n,) or a scalar that broadcasts."""

INF, TINY = F(np.inf), F(1e-6)


class Solid(Protocol):
    """A solid in its own frame."""

    @property
    def ball(self) -> tuple[float, float]:
        """Height of the centre and radius of a ball that holds the solid."""
        ...

    def hit(self, o: Vector, d: Vector) -> Array:
        """Parameter t > 0 of the first hit of rays o + t d, inf without one."""
        ...

    def normal(self, p: Vector) -> Vector:
        """Outward unit normal at points on the surface."""
        ...


@dataclass(frozen=True)
class Sphere:
    r: float

    @property
    def ball(self) -> tuple[float, float]:
        return self.r, self.r

    def hit(self, o: Vector, d: Vector) -> Array:
        (ox, oy, oz), (dx, dy, dz) = o, d
        oy = oy - F(self.r)
        a = dx * dx + dy * dy + dz * dz
        b = ox * dx + oy * dy + oz * dz
        disc = b * b - a * (ox * ox + oy * oy + oz * oz - F(self.r**2))
        t = (-b - np.sqrt(np.maximum(disc, 0))) / a
        return np.where((disc > 0) & (t > 1e-4), t, INF)

    def normal(self, p: Vector) -> Vector:
        r = F(self.r)
        return p[0] / r, (p[1] - r) / r, p[2] / r


@dataclass(frozen=True)
class Cube:
    half: float

    @property
    def ball(self) -> tuple[float, float]:
        return self.half, self.half * 1.7321

    def hit(self, o: Vector, d: Vector) -> Array:
        h = F(self.half)
        near: Array = np.asarray(F(-np.inf))
        far: Array = np.asarray(INF)
        for p, v in zip((o[0], o[1] - h, o[2]), d, strict=True):
            w = 1 / np.where(np.abs(v) < TINY, TINY, v)
            mid, half = -p * w, h * np.abs(w)
            near, far = np.maximum(near, mid - half), np.minimum(far, mid + half)
        return np.where((near < far) & (near > 1e-4), near, INF)

    def normal(self, p: Vector) -> Vector:
        q = np.stack([p[0], p[1] - F(self.half), p[2]])
        top = np.abs(q).argmax(0)
        x, y, z = (np.where(top == i, np.sign(q[i]), F(0)) for i in range(3))
        return x, y, z


@dataclass(frozen=True)
class Cylinder:
    r: float
    high: float

    @property
    def ball(self) -> tuple[float, float]:
        return self.high / 2, float(np.hypot(self.r, self.high / 2))

    def hit(self, o: Vector, d: Vector) -> Array:
        (ox, oy, oz), (dx, dy, dz) = o, d
        r, high = F(self.r), F(self.high)
        a = dx * dx + dz * dz + TINY
        b = ox * dx + oz * dz
        disc = b * b - a * (ox * ox + oz * oz - r * r)
        root = np.sqrt(np.maximum(disc, 0)) / a
        w = 1 / np.where(np.abs(dy) < TINY, TINY, dy)
        mid, half = (high / 2 - oy) * w, high / 2 * np.abs(w)
        near, far = np.maximum(-b / a - root, mid - half), np.minimum(-b / a + root, mid + half)
        return np.where((disc > 0) & (near < far) & (near > 1e-4), near, INF)

    def normal(self, p: Vector) -> Vector:
        x, y, z = p
        r, high = F(self.r), F(self.high)
        cap = (y > high - 1e-3) | (y < 1e-3)
        up = np.where(y > high / 2, F(1), F(-1))
        return np.where(cap, F(0), x / r), np.where(cap, up, F(0)), np.where(cap, F(0), z / r)


@dataclass(frozen=True)
class Cone:
    r: float
    high: float

    @property
    def ball(self) -> tuple[float, float]:
        y = (self.high**2 - self.r**2) / (2 * self.high)
        return y, self.high - y

    def hit(self, o: Vector, d: Vector) -> Array:
        (ox, oy, oz), (dx, dy, dz) = o, d
        r, high = F(self.r), F(self.high)
        k2, py = F((self.r / self.high) ** 2), oy - high
        a = dx * dx + dz * dz - k2 * dy * dy
        a = np.where(np.abs(a) < TINY, TINY, a)
        b = ox * dx + oz * dz - k2 * py * dy
        disc = b * b - a * (ox * ox + oz * oz - k2 * py * py)
        root = np.sqrt(np.maximum(disc, 0))
        best: Array = np.asarray(INF)
        for t in ((-b - root) / a, (-b + root) / a):
            y = oy + t * dy
            best = np.minimum(best, np.where((disc > 0) & (t > 1e-4) & (y >= 0) & (y <= high), t, INF))
        t = -oy / np.where(np.abs(dy) < TINY, TINY, dy)
        x, z = ox + t * dx, oz + t * dz
        return np.minimum(best, np.where((t > 1e-4) & (x * x + z * z < r * r), t, INF))

    def normal(self, p: Vector) -> Vector:
        x, y, z = p
        k = F(self.r / self.high)
        rho = np.sqrt(x * x + z * z) + TINY
        w = F(1 / np.sqrt(1 + k * k))
        base = y < 1e-3
        return np.where(base, F(0), x / rho * w), np.where(base, F(-1), k * w), np.where(base, F(0), z / rho * w)


@dataclass(frozen=True)
class Ring:
    """A torus that stands upright: `big` is the radius of its middle line, `tube` that of the tube."""

    big: float
    tube: float

    @property
    def ball(self) -> tuple[float, float]:
        return self.big + self.tube, self.big + self.tube

    def _distance(self, x: Array, y: Array, z: Array) -> Array:
        q = np.sqrt(x * x + (y - F(self.big + self.tube)) ** 2) - F(self.big)
        return np.sqrt(q * q + z * z) - F(self.tube)

    def hit(self, o: Vector, d: Vector) -> Array:
        """Sphere tracing: march along unit steps from the ball's near side, each as long as the distance."""
        (ox, oy, oz), (dx, dy, dz) = o, d
        middle, ball = self.ball
        length = np.sqrt(dx * dx + dy * dy + dz * dz)
        ux, uy, uz = dx / length, dy / length, dz / length
        b = ox * ux + (oy - F(middle)) * uy + oz * uz
        disc = b * b - (ox * ox + (oy - F(middle)) ** 2 + oz * oz - F(ball * ball))
        half = np.sqrt(np.maximum(disc, 0))
        t, end = np.maximum(-b - half, F(2e-2)), -b + half
        out = np.full_like(t, INF)
        live = np.nonzero((disc > 0) & (end > t))[0]
        ox, oy, oz = (np.broadcast_to(v, t.shape)[live] for v in (ox, oy, oz))
        ux, uy, uz, t, end = ux[live], uy[live], uz[live], t[live], end[live]
        for step in range(36):
            distance = self._distance(ox + t * ux, oy + t * uy, oz + t * uz)
            t = t + distance
            if step % 6 == 5:
                done = distance < 2e-3
                out[live[done]] = t[done] / length[live[done]]
                keep = ~done & (t < end)
                if not keep.any():
                    break
                live, ox, oy, oz = live[keep], ox[keep], oy[keep], oz[keep]
                ux, uy, uz, t, end = ux[keep], uy[keep], uz[keep], t[keep], end[keep]
        return out

    def normal(self, p: Vector) -> Vector:
        x, y, z = p
        y = y - F(self.big + self.tube)
        rho = np.sqrt(x * x + y * y) + TINY
        q = (rho - F(self.big)) / rho
        return x * q / F(self.tube), y * q / F(self.tube), z / F(self.tube)


def solid(thing: Thing) -> Solid:
    """The solid of that thing, sized so that all five look about equally large."""
    r = thing.r
    forms: dict[str, Solid] = {
        "sphere": Sphere(r),
        "cube": Cube(r * 0.78),
        "cylinder": Cylinder(r * 0.72, r * 1.7),
        "cone": Cone(r * 0.86, r * 1.95),
        "ring": Ring(r * 0.70, r * 0.27),
    }
    return forms[thing.shape]


def hit(thing: Thing, o: Vector, d: Vector) -> Array:
    """Parameter t > 0 of the first hit of the world's rays o + t d with the thing, inf without one."""
    return solid(thing).hit(*_local(thing, o, d))


def normal(thing: Thing, p: Vector) -> Vector:
    """Outward unit normal of the thing at points of the world on its surface."""
    local, _ = _local(thing, p, (np.asarray(F(0)), np.asarray(F(0)), np.asarray(F(1))))
    c, s = F(np.cos(thing.yaw)), F(np.sin(thing.yaw))
    n = solid(thing).normal(local)
    return c * n[0] + s * n[2], n[1], -s * n[0] + c * n[2]


def near_ball(thing: Thing, o: Vector, d: Vector) -> NDArray[np.bool_]:
    """Which rays pass through the thing's ball: a cheap test before the exact one."""
    middle, ball = solid(thing).ball
    cx, cy, cz = F(thing.x) - o[0], F(middle) - o[1], F(thing.z) - o[2]
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = cx * d[0] + cy * d[1] + cz * d[2]
    return (b > 0) & (b * b > a * (cx * cx + cy * cy + cz * cz - F(ball * ball)))


def _local(thing: Thing, o: Vector, d: Vector) -> tuple[Vector, Vector]:
    c, s = F(np.cos(thing.yaw)), F(np.sin(thing.yaw))
    ox, oz = o[0] - F(thing.x), o[2] - F(thing.z)
    return (c * ox - s * oz, o[1], s * ox + c * oz), (c * d[0] - s * d[2], d[1], s * d[0] + c * d[2])
