"""Checkpoints: the state of a training on disk, by Orbax; the newest that is whole counts."""

import hashlib
import importlib.util
import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlr import shard
from jaxlr.extras import extra
from jaxlr.run.folder import CHECKPOINTS, CONFIG, METRICS, RunFolderError
from jaxlr.train import TrainState

_KEPT = 3
_UNFINISHED = "*orbax-checkpoint-tmp*"


def require_orbax() -> None:
    """Raise MissingExtraError now rather than when the first checkpoint is due."""
    with extra("cli"):
        if not importlib.util.find_spec("orbax.checkpoint"):
            raise ModuleNotFoundError("orbax")


class Checkpoint(NamedTuple):
    """What a run needs to go on to the same bits.

    ``key`` is the data of its random key, ``metrics_size`` how many bytes of ``metrics.jsonl`` are
    of steps before, ``validation_loss`` was taken of the present parameters and is in no line yet,
    and ``seconds`` is what the steps took.
    """

    state: TrainState
    key: np.ndarray
    metrics_size: int = 0
    validation_loss: float | None = None
    seconds: float = 0.0


class Checkpoints:
    """The last three checkpoints of a run folder."""

    def __init__(self, run: Path) -> None:
        self.run, self.folder = run, run / CHECKPOINTS
        self._open: Any = None

    def steps(self) -> list[int]:
        """Return the steps after which there is one, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted(self._manager().all_steps(), reverse=True)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one, beside the others until it is whole.

        Raises
        ------
        RunFolderError
            If it cannot be written; those from before are intact.
        """
        if shard.host_index() > 0:  # of several processes the first keeps them
            return
        arrays = _arrays(checkpoint)
        facts = checkpoint._asdict()
        del facts["state"], facts["key"]
        facts["sha256"] = _digest(arrays, facts)
        step = checkpoint.state.step
        try:
            args = self._args()
            saved = args.Composite(state=args.StandardSave(arrays), facts=args.JsonSave(facts))
            self._manager().save(step, args=saved)
        except Exception as error:  # Orbax and TensorStore have many for a full disk
            self._clear_unfinished()
            before = [k for k in self.steps() if k != step]
            intact = f"the one after {before[0]} is intact" if before else "there is none yet"
            raise RunFolderError(
                f"{self.folder}: the checkpoint after {step} steps cannot be written, {intact}: "
                f"{_first_line(error)}. Make room, then: jaxlr resume {self.run}"
            ) from error

    def newest(self, like: Checkpoint, tell: Callable[[str], None]) -> Checkpoint | None:
        """Read the newest that is whole, and remove newer ones, which are not.

        Parameters
        ----------
        like : Checkpoint
            One with the shapes and types that this run has.
        tell : callable
            Told of each that is damaged.

        Raises
        ------
        RunFolderError
            If one is whole, but of another run; or if there are some, and none is whole.
        """
        for step in self.steps():
            try:
                found = self._read(step, like)
            except RunFolderError:
                raise
            except Exception as error:  # whatever a file that anyone may have written brings about
                tell(f"checkpoint after {step} steps: damaged ({_first_line(error)}), left out")
                continue
            for newer in self.steps():
                if newer > step:
                    self._manager().delete(newer)
            return found
        if self.steps():  # whatever ails them may be cured; to remove them is not ours
            raise RunFolderError(
                f"{self.folder}: no checkpoint can be read. To begin this run anew, remove that "
                f"folder, then: jaxlr resume {self.run}"
            )
        return None

    def close(self) -> None:
        """End what Orbax has running."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _read(self, step: int, like: Checkpoint) -> Checkpoint:
        args = self._args()
        wanted = args.Composite(state=args.StandardRestore(), facts=args.JsonRestore())
        found = self._manager().restore(step, args=wanted)
        arrays, facts = dict(found.state), dict(found.facts)
        if facts.pop("sha256") != _digest(arrays, facts):
            raise ValueError("its contents are not those that were written")
        checkpoint = Checkpoint(like.state, like.key, **facts)
        if (self.run / METRICS).stat().st_size < checkpoint.metrics_size:
            raise ValueError("metrics.jsonl is shorter than it was then")
        return _with_arrays(checkpoint, arrays, f"{self.folder}: the checkpoint after {step} steps")

    def _args(self) -> Any:
        with extra("cli"):
            import orbax.checkpoint as ocp
        return ocp.args

    def _manager(self) -> Any:
        if self._open is None:
            with extra("cli"):
                import orbax.checkpoint as ocp
            self.folder.mkdir(exist_ok=True)  # Orbax does not, where there are several processes
            own = shard.host_index()  # each has a folder of its own, and waits for no other
            options = ocp.CheckpointManagerOptions(
                max_to_keep=_KEPT,
                create=False,
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"host{own}"
                ),
                cleanup_tmp_directories=True,
                enable_async_checkpointing=False,
            )
            self._open = ocp.CheckpointManager(self.folder.absolute(), options=options)
        return self._open

    def _clear_unfinished(self) -> None:
        for path in self.folder.glob(_UNFINISHED):
            shutil.rmtree(path, ignore_errors=True)


def checkpoint_of_first(found: Checkpoint | None, like: Checkpoint) -> Checkpoint | None:
    """Hand what the first of several processes found to the others, who have no folder of it."""
    if shard.host_count() == 1:
        return found
    packed = b"" if found is None else _pack(found)
    packed = shard.from_first(packed)
    return _unpack(packed, like) if packed else None


def _pack(checkpoint: Checkpoint) -> bytes:
    facts = checkpoint._asdict()
    del facts["state"], facts["key"]
    file = BytesIO()
    np.savez(file, allow_pickle=False, facts=json.dumps(facts), **_arrays(checkpoint))
    return file.getvalue()


def _unpack(packed: bytes, like: Checkpoint) -> Checkpoint:
    arrays = dict(np.load(BytesIO(packed), allow_pickle=False))
    facts = json.loads(str(arrays.pop("facts")))
    where = "the checkpoint of process 0"
    return _with_arrays(Checkpoint(like.state, like.key, **facts), arrays, where)


def _arrays(checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    """Arrays by name, without empty ones, which Orbax refuses and nobody needs."""
    tree = {"state": jax.device_get(checkpoint.state), "key": checkpoint.key}
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(p, simple=True, separator="."): np.asarray(v) for p, v in leaves}
    return {name: v for name, v in named.items() if v.size}


def _with_arrays(like: Checkpoint, arrays: dict[str, np.ndarray], where: str) -> Checkpoint:
    """Put arrays in the place of those of ``like``, which they must resemble."""
    wanted = _arrays(like)
    for name in sorted({*wanted, *arrays}):
        there, here = (_described(v.get(name)) for v in (arrays, wanted))
        if there != here:
            raise RunFolderError(
                f"{where} has {there} as {name}, and this run {here}: its {CONFIG} or its data is "
                "not what it began with"
            )

    def leaf(path: Any, value: Any) -> Any:
        return arrays.get(jax.tree_util.keystr(path, simple=True, separator="."), value)

    tree = {"state": like.state, "key": like.key}
    tree = jax.tree_util.tree_map_with_path(leaf, tree)
    state = tree["state"]._replace(step=int(tree["state"].step))
    return like._replace(state=state, key=tree["key"])


def _described(v: np.ndarray | None) -> str:
    return "nothing" if v is None else f"{v.dtype}{list(v.shape)}"


def _digest(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        v = np.asarray(arrays[name])
        digest.update(f"{name} {v.dtype} {v.shape} ".encode() + v.tobytes())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
