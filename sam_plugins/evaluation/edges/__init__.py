"""Edges (paper, §7.2 and §D.2): from masks to edge maps, and how they compare with people's."""

from sam_plugins.evaluation.edges.curves import Counts, EdgeScores, count_matches, rates, score
from sam_plugins.evaluation.edges.detectors import canny, sobel
from sam_plugins.evaluation.edges.from_masks import edge_map
from sam_plugins.evaluation.edges.matching import match_edges
from sam_plugins.evaluation.edges.run import (
    edge_table,
    measure_edges,
    measure_people,
    measure_source,
    read_edge_set,
)

__all__ = [
    "Counts",
    "EdgeScores",
    "canny",
    "count_matches",
    "edge_map",
    "edge_table",
    "match_edges",
    "measure_edges",
    "measure_people",
    "measure_source",
    "rates",
    "read_edge_set",
    "score",
    "sobel",
]
