from .door import segment as segment
from .errors import InputError as InputError
from .eyes.loading import load_backbone as load_backbone
from .graph import Graph as Graph
from .reading import read_image as read_image
from .samples import sample as sample
from .segmentation import Segmentation as Segmentation
from .tree import PartitionTree as PartitionTree
from .walk import Walk as Walk

__version__: str
__all__ = [
    "Graph",
    "InputError",
    "PartitionTree",
    "Segmentation",
    "Walk",
    "load_backbone",
    "read_image",
    "sample",
    "segment",
]
