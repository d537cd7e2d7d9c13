"""The sweeper that hands a grid to the launcher as it is."""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from tests.conftest import CONF, expanded


def test_hydra_finds_the_sweeper_once() -> None:
    names = [plugin.__name__ for plugin in Plugins.instance().discover(Sweeper)]
    assert names.count("GridSweeper") == names.count("BasicSweeper") == 1


def test_nothing_is_composed_to_see_whether_a_batch_is_legal() -> None:
    settings = OmegaConf.load(CONF / "hydra" / "sweeper" / "grid.yaml")
    sweeper = Plugins.instance()._instantiate(settings)
    assert type(sweeper).__name__ == "GridSweeper"
    assert hasattr(sweeper, "validate_batch_is_legal")
    sweeper.validate_batch_is_legal([["n=not a number", "no_such_key=3"]])


def test_a_grid_is_one_batch_of_the_points_that_were_checked() -> None:
    given = ["n=range(1,41)", "ch=3,4,5", "data=digits,toy", "seed=3"]
    settings = OmegaConf.load(CONF / "hydra" / "sweeper" / "grid.yaml")
    parsed = OverridesParser.create().parse_overrides(given)
    (batch,) = BasicSweeper.split_arguments(parsed, settings.max_batch_size)
    points = expanded("-m", *given).points
    assert [tuple(overrides) for overrides in batch] == [point.overrides for point in points]
