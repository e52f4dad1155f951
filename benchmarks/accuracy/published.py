"""Published figures as printed in their papers: one row per model, one cell per horizon or metric.

`tests/benchmarks` compares some of them with cells typed by hand. Rows with the source `MEASURED` are not published:
they were measured for this project.
"""

from __future__ import annotations

from dataclasses import dataclass

ZENG = "Zeng et al., Are Transformers Effective for Time Series Forecasting?, AAAI 2023"
PATCHTST = "Nie et al., A Time Series is Worth 64 Words, ICLR 2023"
SEGRNN = "Lin et al., SegRNN, 2023"
TQNET = "Lin et al., Temporal Query Network, ICML 2025"
CYCLENET = "Lin et al., CycleNet, NeurIPS 2024"
ITRANSFORMER = "Liu et al., iTransformer, ICLR 2024"
PSLSTM = "Kong et al., Unlocking the Power of LSTM for Long Term Time Series Forecasting (P-sLSTM), AAAI 2025"
INFORMER = "Zhou et al., Informer, AAAI 2021"
M4 = "Makridakis et al., The M4 Competition, International Journal of Forecasting 2020"
NBEATS = "Oreshkin et al., N-BEATS, ICLR 2020"
TGCN = "Zhao et al., T-GCN, IEEE Transactions on Intelligent Transportation Systems 2020"
MEASURED = "measured on two CPU cores"
COLLECTED = "as collected with the protocol"


@dataclass(frozen=True)
class Row:
    """One published row.

    Args:
        name: The model, with its context length L if the paper gives it.
        cells: Figures as printed, by column: ``mse/mae`` or ``mse`` for a task, or one figure for a metric.
        source: The paper or other source.
    """

    name: str
    cells: dict[str, str]
    source: str


def _rows(columns: str, *rows: tuple[str, str, str]) -> tuple[Row, ...]:
    """Return rows from their names, cells separated by ``|`` (``-`` if unknown) and sources."""
    found = []
    for name, figures, source in rows:
        cells = zip(columns.split(), (cell.strip() for cell in figures.split("|")), strict=True)
        found.append(Row(name, {column: cell for column, cell in cells if cell != "-"}, source))
    return tuple(found)


PUBLISHED: dict[str, tuple[Row, ...]] = {
    "etth1": _rows(
        "etth1-96 etth1-192 etth1-336 etth1-720",
        ("SegRNN (L 720)", ".351/.392 | .392/.414 | .423/.433 | .466/.472", SEGRNN),
        ("PatchTST/42 (L 336)", ".375/.399 | .414/.421 | .431/.436 | .449/.466", PATCHTST),
        ("DLinear (L 336)", ".375/.399 | .405/.416 | .439/.443 | .472/.490", ZENG),
        ("NLinear (L 336)", ".374/.394 | .408/.415 | .429/.427 | .440/.453", ZENG),
        ("plain GRU (L 720)", "1.135/.844 | 1.123/.814 | 1.080/.807 | 1.089/.822", COLLECTED),
    ),
    "etth1-l96": _rows(
        "etth1-96 etth1-192 etth1-336 etth1-720",
        ("SegRNN", ".368/.395 | .408/.419 | .444/.440 | .446/.457", COLLECTED),
        ("TQNet", ".371/.393 | .428/.426 | .476/.446 | .487/.470", TQNET),
        ("CycleNet-Linear", ".378/.391 | .427/.419 | .464/.439 | .462/.461", CYCLENET),
        ("iTransformer", ".386/.405 | .441/.436 | .487/.458 | .503/.491", ITRANSFORMER),
    ),
    "ettm1": _rows(
        "ettm1-96 ettm1-192 ettm1-336 ettm1-720",
        ("SegRNN (L 720)", ".293/.354 | .328/.378 | .357/.399 | .410/.430", SEGRNN),
        ("PatchTST/42 (L 336)", ".290/.342 | .332/.369 | .366/.392 | .420/.424", PATCHTST),
        ("DLinear (L 336)", ".299/.343 | .335/.365 | .369/.386 | .425/.421", ZENG),
        ("P-sLSTM (L 336)", ".292 | .329 | .362 | .421", PSLSTM),
        ("patched LSTM (L 336)", ".308 | .344 | .378 | .423", PSLSTM),
    ),
    "ettm1-l96": _rows(
        "ettm1-96 ettm1-192 ettm1-336 ettm1-720",
        ("SegRNN", ".330/.369 | .369/.392 | .399/.412 | .454/.443", COLLECTED),
        ("TQNet", ".311/.353 | .356/.378 | .390/.401 | .452/.440", TQNET),
    ),
    "etth1-ot": _rows(
        "etth1-ot-96 etth1-ot-192 etth1-ot-336 etth1-ot-720",
        ("NLinear", ".053/.177 | .069/.204 | .081/.226 | .080/.226", ZENG),
    ),
    "ettm1-ot": _rows(
        "ettm1-ot-96 ettm1-ot-192 ettm1-ot-336 ettm1-ot-720",
        ("NLinear", ".026/.122 | .039/.149 | .052/.172 | .073/.207", ZENG),
    ),
    "architectures": _rows(
        "etth1-96 m4-hourly",
        ("DLinear (L 336)", ".375/.399 | -", ZENG),
        ("PatchTST/42 (L 336)", ".375/.399 | -", PATCHTST),
        ("ES-RNN (winner of M4)", "- | .440", M4),
        ("Doornik, Castle and Hendry", "- | .410", M4),
    ),
    "lstm": _rows(
        "etth1-24 etth1-48 etth1-168 etth1-336 etth1-720",
        ("LSTMa (Bahdanau)", ".650/.624 | .702/.675 | 1.212/.867 | 1.424/.994 | 1.960/1.322", INFORMER),
    ),
    "m4": _rows(
        "smape mase owa",
        ("ES-RNN (winner)", "9.328 | .893 | .440", M4),
        ("FFORMA (second)", "11.506 | .819 | .484", M4),
        ("Doornik, Castle and Hendry", "- | .801 | .410", M4),
        ("seasonal naive", "13.912 | 1.193 | .627", M4),
        ("Naive2", "18.383 | 2.395 | 1", M4),
        ("Theta", "18.138 | 2.455 | 1.006", M4),
        ("organisers' RNN", "14.698 | 3.048 | 1.036", M4),
        ("organisers' MLP", "13.842 | 2.607 | .921", M4),
        ("N-BEATS (180 models)", "8.2 | - | -", NBEATS),
        ("NHITS (neuralforecast 3.3.0, L 192)", "13.721 | 1.144 | .612", MEASURED),
        ("early prototype (L 504)", "12.199 | .959 | .532", MEASURED),
        ("early prototype on logarithms", "10.541 | 1.010 | .498", MEASURED),
    ),
    "los-loop": _rows(
        "rmse_3 rmse_6 rmse_9 rmse_12 mae_3 mae_6 mae_9 mae_12",
        ("T-GCN", "5.126 | - | - | - | - | - | - | -", TGCN),
        ("GRU", "5.22 | - | - | - | - | - | - | -", TGCN),
    ),
}
