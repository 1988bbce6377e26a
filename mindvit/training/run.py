"""A run: its recipe, what was made of it, and where it stands."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from mindspore import Tensor

from mindvit.data.sources import DEFAULT_PATHS
from mindvit.data.split import Source
from mindvit.data.visits import Course
from mindvit.errors import UserError
from mindvit.factory import ModelSettings
from mindvit.models.vit import ViT
from mindvit.runtime import Runtime
from mindvit.training.assembly import Engine
from mindvit.training.recipe import Recipe
from mindvit.training.run_state import RunState
from mindvit.training.states import Saved, differences, load_state
from mindvit.weights.passport import Passport


@dataclass(frozen=True)
class Run:
    """All parts of a run."""

    recipe: Recipe
    """The settings as they were resolved."""
    runtime: Runtime
    source: Source
    network: ViT
    course: Course
    engine: Engine
    state: RunState

    @property
    def epochs(self) -> int:
        """Epochs of the run, the last one perhaps not whole."""
        return -(-self.state.total_steps // self.state.steps_per_epoch)

    @property
    def settings(self) -> dict:
        """What a state says of the run that wrote it: all settings, and the number of workers."""
        return {**plain(self.recipe), "workers": self.runtime.world_size}

    @property
    def passport(self) -> Passport:
        """The passport of its weights, before any epoch."""
        return Passport(
            model_name=self.recipe.model.name,
            model=self.network.config,
            classes=self.source.train.classes,
            data_source=self.recipe.data.source,
            data_path=self.recipe.data.path,
            is_part=self.recipe.data.classes is not None,
        )

    def go_on_from(self, saved: Saved, allow_changes: bool) -> "Run":
        """The run with a saved state put in place; where settings have changed, at the corresponding position.

        Raises:
            UserError: if settings have changed and that is not allowed, or the state's tensors do not fit.
        """
        changed = differences(saved.recipe, self.settings)
        if changed and not allow_changes:
            raise UserError(
                f"{saved.path} was written under other settings: {'; '.join(changed)}. "
                "Go on with the old ones (config.yaml of its folder), or take the new ones with --allow_changes true"
            )
        load_state(saved, self.engine.step, self.engine.averages)
        state, folder = saved.state, Path(self.recipe.output_dir)
        if state.steps_per_epoch != self.state.steps_per_epoch:
            share = self.state.steps_per_epoch / state.steps_per_epoch
            updates = self.engine.step.optimizer.step
            updates.set_data(Tensor(round(updates.asnumpy().item() * share), updates.dtype))
            state = replace(state, step=round(state.step * share), losses=[], norms=[])
        best = [entry for entry in state.best if (folder / entry["file"]).exists()]
        planned = {"steps_per_epoch": self.state.steps_per_epoch, "total_steps": self.state.total_steps}
        return replace(self, state=replace(state, best=best, **planned))


def resolve(recipe: Recipe, runtime: Runtime, source: Source, network: ViT) -> Recipe:
    """The recipe with every setting that was left to the program replaced by what it came to."""
    settled = {**asdict(network.config), **asdict(network.config.preprocessing)}
    names = {item.name for item in fields(ModelSettings)} & settled.keys()
    chosen = {name: getattr(runtime, name) for name in ("device", "precision", "fused_attention", "data_sink")}
    return replace(
        recipe,
        model=replace(recipe.model, **{name: settled[name] for name in names}),
        data=replace(recipe.data, path=recipe.data.path or str(DEFAULT_PATHS[recipe.data.source])),
        augment=replace(recipe.augment, flip=source.train.flip if recipe.augment.flip is None else recipe.augment.flip),
        runtime=replace(recipe.runtime, **chosen),
        # Acts, not properties of the run: repeating the config must neither write over this one nor go on with it.
        overwrite=False,
        resume=None,
        allow_changes=False,
    )


def plain(recipe: Recipe) -> dict:
    """The settings as JSON and YAML know them."""
    return json.loads(json.dumps(asdict(recipe)))
