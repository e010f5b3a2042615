"""What every test shares: no window opens, and GPU tests are skipped, with the reason, where there is no GPU."""

import matplotlib
import pytest

matplotlib.use("agg")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` on a machine without a CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch  # slow to import, so only when a test asks for it

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
