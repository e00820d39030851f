"""Published binary-logit results, each checked against 40-digit arithmetic.

Every `mp_*` value is the maximum-likelihood solution (or its standard error) to 20 digits, from a
Newton iteration in mpmath at 40 digits on the decimal data as written here. `agree_*` is the
largest relative difference between the published values and those, rounded up to one digit.

Coefficients are in the order of `features`, with the intercept where `intercept` says.
`loglik` is sum(w * (k*log(p) + (n-k)*log(1-p))): no binomial constants.
`mp_hc0` is the plain sandwich H^-1 (sum of score outer products) H^-1 with no small-sample factor,
one score for each single trial (groups and frequency weights expanded); `robust_se` is published
and is sqrt(robust_factor) times it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Published(NamedTuple):
    """One published fit. `offset` is (column, multiplier); `weights` is (column, kind)."""

    name: str
    columns: str
    data: str
    labels: str
    features: tuple[str, ...]
    intercept: str
    coef: tuple[float, ...]
    digits: int
    source: str
    mp_coef: tuple[str, ...]
    mp_se: tuple[str, ...]
    mp_loglik: str
    agree_coef: float
    se: tuple[float, ...] | None = None
    loglik: float | None = None
    robust_se: tuple[float, ...] | None = None
    robust_factor: float | None = None
    mp_hc0: tuple[str, ...] | None = None
    agree_se: float | None = None
    agree_loglik: float | None = None
    agree_robust: float | None = None
    trials: str | None = None
    weights: tuple[str, str] | None = None
    offset: tuple[str, float] | None = None
    single: tuple[str, ...] = ()
    note: str = ""


class Arrays(NamedTuple):
    """The data of one fit: design without intercept, successes, trials, weights, offset."""

    x: np.ndarray
    successes: np.ndarray
    trials: np.ndarray
    weights: np.ndarray
    offset: np.ndarray


def arrays(item: Published) -> Arrays:
    """Parse the data; a feature "a+b" is the sum of two columns."""
    names = item.columns.split()
    rows = np.array(item.data.split(), dtype=np.float64).reshape(-1, len(names))
    col = {name: rows[:, k] for k, name in enumerate(names)}
    for name in item.single:
        col[name] = col[name].astype(np.float32).astype(np.float64)
    one = np.ones(len(rows))
    x = np.column_stack([sum(col[part] for part in f.split("+")) for f in item.features])
    return Arrays(
        x,
        col[item.labels],
        col[item.trials] if item.trials else one,
        col[item.weights[0]] if item.weights else one,
        col[item.offset[0]] * item.offset[1] if item.offset else 0 * one,
    )


SPECTOR_COLUMNS = "gpa tuce psi grade"
SPECTOR = """
2.66 20 0 0  2.89 22 0 0  3.28 24 0 0  2.92 12 0 0  4 21 0 1  2.86 17 0 0  2.76 17 0 0
2.87 21 0 0  3.03 25 0 0  3.92 29 0 1  2.63 20 0 0  3.32 23 0 0  3.57 23 0 0  3.26 25 0 1
3.53 26 0 0  2.74 19 0 0  2.75 25 0 0  2.83 19 0 0  3.12 23 1 0  3.16 25 1 1  2.06 22 1 0
3.62 28 1 1  2.89 14 1 0  3.51 26 1 0  3.54 24 1 1  2.83 27 1 1  3.39 17 1 1  2.67 24 1 0
3.65 21 1 1  4 23 1 1  3.1 21 1 0  2.39 19 1 1
"""

LBW_COLUMNS = "age lwt race_black race_other smoke ptl ht ui low"
LBW = """
19 182 1 0 0 0 0 1 0  33 155 0 1 0 0 0 0 0  20 105 0 0 1 0 0 0 0  21 108 0 0 1 0 0 1 0
18 107 0 0 1 0 0 1 0  21 124 0 1 0 0 0 0 0  22 118 0 0 0 0 0 0 0  17 103 0 1 0 0 0 0 0
29 123 0 0 1 0 0 0 0  26 113 0 0 1 0 0 0 0  19 95 0 1 0 0 0 0 0  19 150 0 1 0 0 0 0 0
22 95 0 1 0 0 1 0 0  30 107 0 1 0 1 0 1 0  18 100 0 0 1 0 0 0 0  18 100 0 0 1 0 0 0 0
15 98 1 0 0 0 0 0 0  25 118 0 0 1 0 0 0 0  20 120 0 1 0 0 0 1 0  28 120 0 0 1 0 0 0 0
32 121 0 1 0 0 0 0 0  31 100 0 0 0 0 0 1 0  36 202 0 0 0 0 0 0 0  28 120 0 1 0 0 0 0 0
25 120 0 1 0 0 0 1 0  28 167 0 0 0 0 0 0 0  17 122 0 0 1 0 0 0 0  29 150 0 0 0 0 0 0 0
26 168 1 0 1 0 0 0 0  17 113 1 0 0 0 0 0 0  17 113 1 0 0 0 0 0 0  24 90 0 0 1 1 0 0 0
35 121 1 0 1 1 0 0 0  25 155 0 0 0 0 0 0 0  25 125 1 0 0 0 0 0 0  29 140 0 0 1 0 0 0 0
19 138 0 0 1 0 0 0 0  27 124 0 0 1 0 0 0 0  31 215 0 0 1 0 0 0 0  33 109 0 0 1 0 0 0 0
21 185 1 0 1 0 0 0 0  19 189 0 0 0 0 0 0 0  23 130 1 0 0 0 0 0 0  21 160 0 0 0 0 0 0 0
18 90 0 0 1 0 0 1 0  18 90 0 0 1 0 0 1 0  32 132 0 0 0 0 0 0 0  19 132 0 1 0 0 0 0 0
24 115 0 0 0 0 0 0 0  22 85 0 1 1 0 0 0 0  22 120 0 0 0 0 1 0 0  23 128 0 1 0 0 0 0 0
22 130 0 0 1 0 0 0 0  30 95 0 0 1 0 0 0 0  19 115 0 1 0 0 0 0 0  16 110 0 1 0 0 0 0 0
21 110 0 1 1 0 0 1 0  30 153 0 1 0 0 0 0 0  20 103 0 1 0 0 0 0 0  17 119 0 1 0 0 0 0 0
17 119 0 1 0 0 0 0 0  23 119 0 1 0 0 0 0 0  24 110 0 1 0 0 0 0 0  28 140 0 0 0 0 0 0 0
26 133 0 1 1 2 0 0 0  20 169 0 1 0 1 0 1 0  24 115 0 1 0 0 0 0 0  28 250 0 1 1 0 0 0 0
20 141 0 0 0 2 0 1 0  22 158 1 0 0 1 0 0 0  22 112 0 0 1 2 0 0 0  31 150 0 1 1 0 0 0 0
23 115 0 1 1 0 0 0 0  16 112 1 0 0 0 0 0 0  16 135 0 0 1 0 0 0 0  18 229 1 0 0 0 0 0 0
25 140 0 0 0 0 0 0 0  32 134 0 0 1 1 0 0 0  20 121 1 0 1 0 0 0 0  23 190 0 0 0 0 0 0 0
22 131 0 0 0 0 0 0 0  32 170 0 0 0 0 0 0 0  30 110 0 1 0 0 0 0 0  20 127 0 1 0 0 0 0 0
23 123 0 1 0 0 0 0 0  17 120 0 1 1 0 0 0 0  19 105 0 1 0 0 0 0 0  23 130 0 0 0 0 0 0 0
36 175 0 0 0 0 0 0 0  22 125 0 0 0 0 0 0 0  24 133 0 0 0 0 0 0 0  21 134 0 1 0 0 0 0 0
19 235 0 0 1 0 1 0 0  25 95 0 0 1 3 0 1 0  16 135 0 0 1 0 0 0 0  29 135 0 0 0 0 0 0 0
29 154 0 0 0 0 0 0 0  19 147 0 0 1 0 0 0 0  19 147 0 0 1 0 0 0 0  30 137 0 0 0 0 0 0 0
24 110 0 0 0 0 0 0 0  19 184 0 0 1 0 1 0 0  24 110 0 1 0 1 0 0 0  23 110 0 0 0 0 0 0 0
20 120 0 1 0 0 0 0 0  25 241 1 0 0 0 1 0 0  30 112 0 0 0 0 0 0 0  22 169 0 0 0 0 0 0 0
18 120 0 0 1 0 0 0 0  16 170 1 0 0 0 0 0 0  32 186 0 0 0 0 0 0 0  18 120 0 1 0 0 0 0 0
29 130 0 0 1 0 0 0 0  33 117 0 0 0 0 0 1 0  20 170 0 0 1 0 0 0 0  28 134 0 1 0 0 0 0 0
14 135 0 0 0 0 0 0 0  28 130 0 1 0 0 0 0 0  25 120 0 0 0 0 0 0 0  16 95 0 1 0 0 0 0 0
20 158 0 0 0 0 0 0 0  26 160 0 1 0 0 0 0 0  21 115 0 0 0 0 0 0 0  22 129 0 0 0 0 0 0 0
25 130 0 0 0 0 0 0 0  31 120 0 0 0 0 0 0 0  35 170 0 0 0 1 0 0 0  19 120 0 0 1 0 0 0 0
24 116 0 0 0 0 0 0 0  45 123 0 0 0 0 0 0 0  28 120 0 1 1 1 0 1 1  29 130 0 0 0 0 0 1 1
34 187 1 0 1 0 1 0 1  25 105 0 1 0 1 1 0 1  25 85 0 1 0 0 0 1 1  27 150 0 1 0 0 0 0 1
23 97 0 1 0 0 0 1 1  24 128 1 0 0 1 0 0 1  24 132 0 1 0 0 1 0 1  21 165 0 0 1 0 1 0 1
32 105 0 0 1 0 0 0 1  19 91 0 0 1 2 0 1 1  25 115 0 1 0 0 0 0 1  16 130 0 1 0 0 0 0 1
25 92 0 0 1 0 0 0 1  20 150 0 0 1 0 0 0 1  21 200 1 0 0 0 0 1 1  24 155 0 0 1 1 0 0 1
21 103 0 1 0 0 0 0 1  20 125 0 1 0 0 0 1 1  25 89 0 1 0 2 0 0 1  19 102 0 0 0 0 0 0 1
19 112 0 0 1 0 0 1 1  26 117 0 0 1 1 0 0 1  24 138 0 0 0 0 0 0 1  17 130 0 1 1 1 0 1 1
20 120 1 0 1 0 0 0 1  22 130 0 0 1 1 0 1 1  27 130 1 0 0 0 0 1 1  20 80 0 1 1 0 0 1 1
17 110 0 0 1 0 0 0 1  25 105 0 1 0 1 0 0 1  20 109 0 1 0 0 0 0 1  18 148 0 1 0 0 0 0 1
18 110 1 0 1 1 0 0 1  20 121 0 0 1 1 0 1 1  21 100 0 1 0 1 0 0 1  26 96 0 1 0 0 0 0 1
31 102 0 0 1 1 0 0 1  15 110 0 0 0 0 0 0 1  23 187 1 0 1 0 0 0 1  20 122 1 0 1 0 0 0 1
24 105 1 0 1 0 0 0 1  15 115 0 1 0 0 0 1 1  23 120 0 1 0 0 0 0 1  30 142 0 0 1 1 0 0 1
22 130 0 0 1 0 0 0 1  17 120 0 0 1 0 0 0 1  23 110 0 0 1 1 0 0 1  17 120 1 0 0 0 0 0 1
26 154 0 1 0 1 1 0 1  20 106 0 1 0 0 0 0 1  26 190 0 0 1 0 0 0 1  14 101 0 1 1 1 0 0 1
28 95 0 0 1 0 0 0 1  14 100 0 1 0 0 0 0 1  23 94 0 1 1 0 0 0 1  17 142 1 0 0 0 1 0 1
21 130 0 0 1 0 1 0 1
"""

PATIENTS_COLUMNS = "second_attack treatment trait_anxiety"
PATIENTS = """
1 1 70  1 1 80  1 1 50  1 0 60  1 0 40  1 0 65  1 0 75  1 0 80  1 0 70  1 0 60  0 1 65  0 1 50
0 1 45  0 1 35  0 1 40  0 1 50  0 0 55  0 0 45  0 0 50  0 0 60
"""

SYNTHETIC_COLUMNS = "y x1 x2 x3 var_weight freq_weight"
SYNTHETIC = """
0 0.21396250218488 1.3730539470112 0.0255223074956341 1.15058159059845 3
1 0.479658134570875 0.450256558531702 0.182721489705562 1.32374889100902 3
1 0.0878287049737438 -0.146293855626384 -0.17841532721245 1.91594226006418 2
1 0.443858507494784 0.128097239786609 0.3504088392869 1.54537838057149 2
0 -0.362837920519174 -2.29472094700192 -0.731487523762523 1.11336058238521 2
1 0.122674029524872 -1.36656892116054 -0.606950929716417 0.707461580983363 2
1 -0.863845188144844 -0.1974795527395 -0.32947328969654 0.924794904771261 2
0 0.489624266692369 0.0680857821389511 0.262455810123523 0.928136031958275 2
0 -0.364116912546662 0.0905034095405517 -0.401514711304134 1.56978722335771 3
1 -1.29424200668192 0.322759966641457 -0.446918071760113 1.39551477634814 2
0 -0.74576904542862 0.132978626116952 -0.0802988689421396 1.10489102476276 3
1 0.921550362005655 -1.67926431994023 0.701839450766029 1.91335291659925 3
1 0.750054350401259 -0.278479577423245 -0.0273897476994846 1.96884890063666 2
0 -2.50855401589167 -1.55241099569706 -1.10273841413474 0.759867342072539 2
0 -3.04093409534442 -1.37969925458798 -1.93355491206866 1.10124354809523 3
1 0.000265800542587173 -1.35705659019825 0.0708473578158366 0.753644431009889 1
1 -0.394018994229355 -0.921137179625037 0.173169107366857 0.502033688942902 1
0 -1.74502766077801 -0.866817735728827 -0.179990554415577 0.99690133635886 3
0 0.498631450775477 1.65664438622586 -0.067473015234545 0.674143123673275 3
0 0.270953788780096 -0.155079718047773 0.254771213328376 1.41653936775401 1
1 1.09892152018644 -1.57655243474187 0.567766521614117 1.74962308770046 3
1 0.752513462161705 0.624082599132166 0.520519761537269 1.5543969856808 2
0 -0.0594166873891149 0.330220683567645 -0.582694013881458 0.676441100658849 1
1 -0.344568794172457 -0.398122256531424 0.273834845721805 1.6423180331476 2
1 0.222668296228431 -1.08139692596108 0.702068724392475 0.79664229019545 3
1 0.551786344011326 -0.0769220578207267 0.451477136634875 0.938185764825903 2
1 0.683642823057324 -0.52553662084621 0.373324772106585 1.01191056799144 2
0 -0.545879400778547 0.391289654866869 0.424191161389918 1.14103149459697 1
1 -1.36743615593504 -0.680453260609083 -0.689972038524978 0.55069155851379 2
1 1.40005183843878 -0.74869693435812 1.03906413398686 1.66398086980917 2
"""

ADMISSIONS_COLUMNS = "rank2 rank3 rank4 admitted applicants"
ADMISSIONS = """
0 0 0 33 61
1 0 0 54 151
0 1 0 28 121
0 0 1 12 67
"""

BEETLES_COLUMNS = "dose killed exposed"
BEETLES = """
1.6907 6 59
1.7242 13 60
1.7552 18 62
1.7842 28 56
1.8113 52 63
1.8369 53 59
1.8610 61 62
1.8839 60 60
"""

CHALLENGER_COLUMNS = "temperature failed"
CHALLENGER = """
53 1  57 1  58 1  63 1  66 0  67 0  67 0  67 0  68 0  69 0  70 1  70 0  70 1  70 0  72 0  73 0
75 0  75 1  76 0  76 0  78 0  79 0  81 0
"""

SPECTOR_LOGIT_SINGLE = Published(
    name="spector_logit_single",
    columns=SPECTOR_COLUMNS,
    data=SPECTOR,
    labels="grade",
    features=("gpa", "tuce", "psi"),
    intercept="last",
    coef=(2.82611297201, 0.0951576702557, 2.37868772835, -13.0213483201),
    digits=12,
    source=(
        "Data: L. Spector and M. Mazzeo (1980), Probit Analysis and Economic Education, Journal "
        "of Economic Education 11(2), 37-44 (also W. Greene, Econometric Analysis). Values: Stata"
        " 11 logit, quoted in statsmodels 0.15.0, "
        "statsmodels/discrete/tests/results/results_discrete.py, class Spector, logit."
    ),
    mp_coef=(
        "2.826112972010408151",
        "0.095157670255898111808",
        "2.3786877283557287982",
        "-13.021348320091657676",
    ),
    mp_se=(
        "1.2629411452606415825",
        "0.1415542076625566373",
        "1.064564301654800997",
        "4.9313246287152305777",
    ),
    mp_loglik="-12.88963346533347958",
    agree_coef=3e-12,
    se=(1.26294114526, 0.141554207662, 1.06456430165, 4.93132462871),
    agree_se=5e-12,
    mp_hc0=(
        "1.267546024691123999",
        "0.11792227279339719601",
        "0.96441925036084439445",
        "5.1975858670965535396",
    ),
    single=("gpa",),
    note=(
        "Stata held gpa as a 4-byte float: round gpa to single precision (column in `single`), or"
        " the values agree to 1e-7 only."
    ),
)

SPECTOR_GLM = Published(
    name="spector_glm",
    columns=SPECTOR_COLUMNS,
    data=SPECTOR,
    labels="grade",
    features=("gpa", "tuce", "psi"),
    intercept="last",
    coef=(2.8261124216999, 0.09515765001172, 2.3786875040587, -13.021345912635),
    digits=14,
    source=(
        "Data: L. Spector and M. Mazzeo (1980), Probit Analysis and Economic Education, Journal "
        "of Economic Education 11(2), 37-44 (also W. Greene, Econometric Analysis). Values: Stata"
        " glm, family(binomial), and the same with vce(robust), quoted in statsmodels 0.15.0, "
        "statsmodels/discrete/tests/results/results_glm_logit_constrained.py, "
        "results_noconstraint and results_noconstraint_robust."
    ),
    mp_coef=(
        "2.8261125948893208843",
        "0.095157661317909286643",
        "2.3786876550933544856",
        "-13.02134685811568871",
    ),
    mp_se=(
        "1.2629410756290923059",
        "0.14155420567369473988",
        "1.0645642544971329736",
        "4.9313242136027580601",
    ),
    mp_loglik="-12.88963422213141513",
    agree_coef=2e-07,
    se=(1.2629410221647, 0.141554201358, 1.0645642078703, 4.931323890811),
    agree_se=7e-08,
    loglik=-12.88963422213144,
    agree_loglik=2e-15,
    mp_hc0=(
        "1.2675459820157456776",
        "0.11792226774939170199",
        "0.96441920965288168204",
        "5.1975854102994252995",
    ),
    robust_se=(1.287827879216, 0.1198091371814, 0.97985082470462, 5.2807513766642),
    robust_factor=32 / 31,
    agree_robust=2e-07,
    note=(
        "Stata glm seems to have stopped early: coefficients are right to 1.2e-7 only, though 14 "
        "digits are printed. Robust variance is HC0 times n/(n-1) = 32/31."
    ),
)

SPECTOR_EQUAL_SLOPES = Published(
    name="spector_equal_slopes",
    columns=SPECTOR_COLUMNS,
    data=SPECTOR,
    labels="grade",
    features=("gpa+psi", "tuce"),
    intercept="last",
    coef=(2.5537916456996, 0.10791141442743, -12.527923225554),
    digits=14,
    source=(
        "Data: L. Spector and M. Mazzeo (1980), Probit Analysis and Economic Education, Journal "
        "of Economic Education 11(2), 37-44 (also W. Greene, Econometric Analysis). Values: Stata"
        " logit grade gpa tuce psi, constraints(gpa = psi), quoted in statsmodels 0.15.0, "
        "statsmodels/discrete/tests/results/results_glm_logit_constrained.py, "
        "results_logit_constraint2."
    ),
    mp_coef=("2.5537916457025867517", "0.10791141442762561372", "-12.5279232255700453"),
    mp_se=("0.92662056628910139552", "0.13554656655580289636", "4.6393781670491222306"),
    mp_loglik="-12.944141004447510797",
    agree_coef=2e-12,
    se=(0.92662056628814, 0.13554656655573, 4.6393781670436),
    agree_se=2e-12,
    loglik=-12.94414100444751,
    agree_loglik=7e-17,
    mp_hc0=("0.82292650737700430402", "0.12082264979018163457", "4.4393804149126579585"),
    note=(
        "The constraint gpa = psi is an ordinary logit on the sum of the two columns; the best "
        "Spector reference (full digits, double precision)."
    ),
)

SPECTOR_OFFSET = Published(
    name="spector_offset",
    columns=SPECTOR_COLUMNS,
    data=SPECTOR,
    labels="grade",
    features=("tuce", "psi"),
    intercept="last",
    coef=(0.09576464077943, 2.3717067235827, -12.946549758905),
    digits=14,
    source=(
        "Data: L. Spector and M. Mazzeo (1980), Probit Analysis and Economic Education, Journal "
        "of Economic Education 11(2), 37-44 (also W. Greene, Econometric Analysis). Values: Stata"
        " glm grade gpa tuce psi, family(binomial) constraints(gpa = 2.8), quoted in statsmodels "
        "0.15.0, statsmodels/discrete/tests/results/results_glm_logit_constrained.py, "
        "results_constraint1."
    ),
    mp_coef=("0.095764647637570211329", "2.3717067518988322193", "-12.946549941633430389"),
    mp_se=("0.13824841556321970377", "1.0071435984993562877", "3.3404276280286751471"),
    mp_loglik="-12.889848643302336859",
    agree_coef=8e-08,
    se=(0.13824841412912, 1.0071435928909, 3.3404275889275),
    agree_se=2e-08,
    loglik=-12.88984864330234,
    agree_loglik=3e-16,
    mp_hc0=("0.12226424710007544614", "0.9656301325115428031", "2.844421072319007643"),
    offset=("gpa", 2.8),
    note=(
        "The constraint gpa = 2.8 is an offset 2.8*gpa. Stata glm seems to have stopped early: "
        "coefficients right to 8e-8."
    ),
)

LBW = Published(
    name="lbw",
    columns=LBW_COLUMNS,
    data=LBW,
    labels="low",
    features=("age", "lwt", "race_black", "race_other", "smoke", "ptl", "ht", "ui"),
    intercept="last",
    coef=(
        -0.0271003108,
        -0.0151508184,
        1.2626472825,
        0.8620791601,
        0.9233448207,
        0.5418365644,
        1.8325178019,
        0.7585134798,
        0.4612238834,
    ),
    digits=8,
    source=(
        "Data: D. Hosmer and S. Lemeshow, Applied Logistic Regression (low birth weight study), "
        "as in Stata lbw.dta. Coefficients: R glm (10 decimals), quoted as R_lbw_beta in an "
        "example script of the early scikits.statsmodels repository (Example for Generalized "
        "Linear Model; it cites Rpy_example.py). Standard errors (8 decimals): Stata "
        "documentation example as quoted in lbittarello/Microeconometrics.jl, test/runtests.jl, "
        "testset Logit. Log-likelihood and 8-decimal coefficients: statsmodels 0.15.0, "
        "statsmodels/genmod/tests/results/results_glm.py, class Lbw."
    ),
    mp_coef=(
        "-0.027100310886233478167",
        "-0.015150818440521630318",
        "1.2626472843971866099",
        "0.86207916179822683305",
        "0.92334482228527196516",
        "0.5418365647630398773",
        "1.832517803548586221",
        "0.75851348017118215557",
        "0.46122388641737003683",
    ),
    mp_se=(
        "0.036450426610962989127",
        "0.006925878587438923697",
        "0.52641014261406165778",
        "0.43915315477758970488",
        "0.40082664235661890517",
        "0.34624899756826732873",
        "0.69162923533951620025",
        "0.45937677064017114201",
        "1.2045897485168783187",
    ),
    mp_loglik="-100.72399556625110753",
    agree_coef=7e-09,
    se=(
        0.03645043,
        0.00692588,
        0.52641014,
        0.43915315,
        0.40082664,
        0.34624900,
        0.69162923,
        0.45937677,
        1.20458975,
    ),
    agree_se=3e-07,
    loglik=-100.7239955662511,
    agree_loglik=8e-17,
    mp_hc0=(
        "0.033752805576713540432",
        "0.0071091815479352949578",
        "0.50607705286899873486",
        "0.43235180597818547906",
        "0.38569464442664848407",
        "0.4103259863880436372",
        "0.65462724605682762706",
        "0.48710243797991893446",
        "1.2196263777922754945",
    ),
    note=(
        "The standard errors in results_glm.py, class Lbw (0.036449917 ...) are not the MLE ones "
        "(R glm takes them from the last-but-one step): off by 6e-6 to 1.6e-5; not used here."
    ),
)

PATIENTS = Published(
    name="patients",
    columns=PATIENTS_COLUMNS,
    data=PATIENTS,
    labels="second_attack",
    features=("treatment", "trait_anxiety"),
    intercept="first",
    coef=(-6.36346994178192, -1.02410605239327, 0.119044916668607),
    digits=15,
    source=(
        "Apache MADlib user documentation, Logistic Regression "
        "(src/ports/postgres/modules/regress/logistic.sql_in) and Robust Variance (robust.sql_in,"
        " same folder), example table patients; software: Apache MADlib."
    ),
    mp_coef=("-6.3634699418458744363", "-1.0241060524080709051", "0.11904491666978413618"),
    mp_se=("3.2139045247337015365", "1.1710801464951676583", "0.054979175575078849891"),
    mp_loglik="-9.4101829838508858007",
    agree_coef=2e-11,
    se=(3.21389766375099, 1.17107844860319, 0.0549790458269317),
    agree_se=3e-06,
    loglik=-9.41018298388876,
    agree_loglik=5e-12,
    mp_hc0=("3.4587206233778830781", "1.1716192578318695117", "0.05343288641921261493"),
    robust_se=(3.45872062333648, 1.1716192578234, 0.0534328864185018),
    robust_factor=1.0,
    agree_robust=2e-11,
    note=(
        "robust_se is HC0 with no small-sample factor. The plain standard errors are off by "
        "2.4e-6 (it seems from the last-but-one step); the HC0 ones are good to 1.4e-11."
    ),
)

SYNTHETIC_PLAIN = Published(
    name="synthetic_plain",
    columns=SYNTHETIC_COLUMNS,
    data=SYNTHETIC,
    labels="y",
    features=("x1", "x2", "x3"),
    intercept="first",
    coef=(0.3609995834935254, 0.63192719887003579, -0.96499706979862288, 1.5430552713792229),
    digits=17,
    source=(
        "felix-clark/ndarray-glm (Rust crate), tests/R/logistic_main.R (R glm, epsilon = 1e-14, "
        "digits = 17), data tests/data/logistic.csv at commit f67c0c3, results "
        "tests/R/logistic_results/bool_none (coefficients, covariance, deviance)."
    ),
    mp_coef=(
        "0.36099958349353000683",
        "0.6319271988700431306",
        "-0.96499706979863646476",
        "1.5430552713792600998",
    ),
    mp_se=(
        "0.46289979847721844661",
        "0.71380257402340965528",
        "0.56963694906578103443",
        "1.3254996341353392787",
    ),
    mp_loglik="-15.293107848665414062",
    agree_coef=3e-14,
    se=(0.46289978195278711, 0.71380255429747745, 0.56963691755768735, 1.3254995648169241),
    agree_se=6e-08,
    loglik=-15.293107848665416,
    agree_loglik=2e-16,
    mp_hc0=(
        "0.43168897496213572465",
        "0.72987064470526239503",
        "0.589259141121272914",
        "1.1544677093537706491",
    ),
    note=(
        "se and loglik are sqrt of the published covariance diagonal and minus half the published"
        " deviance. R takes the covariance one step early: right to 6e-8."
    ),
)

SYNTHETIC_FREQUENCY_WEIGHTS = Published(
    name="synthetic_frequency_weights",
    columns=SYNTHETIC_COLUMNS,
    data=SYNTHETIC,
    labels="y",
    features=("x1", "x2", "x3"),
    intercept="first",
    coef=(0.3930130839465264, 0.75255534182423256, -1.0493241468219154, 1.8067040378977219),
    digits=17,
    source=(
        "felix-clark/ndarray-glm (Rust crate), tests/R/logistic_main.R (R glm, epsilon = 1e-14, "
        "digits = 17), data tests/data/logistic.csv at commit f67c0c3, results "
        "tests/R/logistic_results/bool_freq (coefficients and covariance at commit 3ebe748, bic "
        "at commit f67c0c3); R fitted the 65 expanded rows."
    ),
    mp_coef=(
        "0.39301308394652641551",
        "0.75255534182423230346",
        "-1.0493241468219172313",
        "1.8067040378977229858",
    ),
    mp_se=(
        "0.32762915241181620469",
        "0.50379064175125467947",
        "0.39302182914164267732",
        "0.99943156023159576514",
    ),
    mp_loglik="-30.354462044761376056",
    agree_coef=2e-15,
    se=(0.32762915239701949, 0.50379064173850373, 0.39302182911938647, 0.99943156016494364),
    agree_se=7e-11,
    loglik=-30.354462044761374,
    agree_loglik=7e-17,
    mp_hc0=(
        "0.29827836834737800934",
        "0.52075892460155601933",
        "0.40853466970794293743",
        "0.87231035247355585066",
    ),
    weights=("freq_weight", "frequency"),
    note=(
        "se is sqrt of the published covariance diagonal; loglik is -(BIC - 4 log 65)/2 from the "
        "published BIC."
    ),
)

SYNTHETIC_REAL_WEIGHTS = Published(
    name="synthetic_real_weights",
    columns=SYNTHETIC_COLUMNS,
    data=SYNTHETIC,
    labels="y",
    features=("x1", "x2", "x3"),
    intercept="first",
    coef=(0.4888623005238279, 0.78555392141157709, -0.77956933067382361, 1.4725107057573175),
    digits=17,
    source=(
        "felix-clark/ndarray-glm (Rust crate), tests/R/logistic_main.R (R glm, epsilon = 1e-14, "
        "digits = 17), data tests/data/logistic.csv at commit f67c0c3, results "
        "tests/R/logistic_results/bool_var (coefficients and covariance at commit 3ebe748); R "
        "glm(..., weights = var_wt)."
    ),
    mp_coef=(
        "0.48886230052382897586",
        "0.78555392141157691205",
        "-0.77956933067382529607",
        "1.4725107057573182589",
    ),
    mp_se=(
        "0.42670306254206377373",
        "0.69796435320841785513",
        "0.54187685705572822874",
        "1.3016482757752129479",
    ),
    mp_loglik="-17.316630905355333915",
    agree_coef=3e-15,
    se=(0.42670306254205521, 0.69796435320840344, 0.54187685705571039, 1.3016482757751715),
    agree_se=4e-14,
    weights=("var_weight", "real"),
    note="Non-integer observation weights. se is sqrt of the published covariance diagonal.",
)

SYNTHETIC_OFFSET = Published(
    name="synthetic_offset",
    columns=SYNTHETIC_COLUMNS,
    data=SYNTHETIC,
    labels="y",
    features=("x2", "x3"),
    intercept="none",
    coef=(-1.0492349908522394, 1.6695261826835261),
    digits=17,
    source=(
        "felix-clark/ndarray-glm (Rust crate), tests/R/logistic_main.R (R glm, epsilon = 1e-14, "
        "digits = 17), data tests/data/logistic.csv at commit f67c0c3, results "
        "tests/R/logistic_results/bool_off (coefficients, covariance, deviance)."
    ),
    mp_coef=("-1.0492349908522416302", "1.6695261826835294015"),
    mp_se=("0.54992908064613376959", "1.0363826493548508491"),
    mp_loglik="-15.601744594270717994",
    agree_coef=3e-15,
    se=(0.54992907012181284, 1.0363826218241858),
    agree_se=3e-08,
    loglik=-15.601744594270721,
    agree_loglik=2e-16,
    mp_hc0=("0.50149188113097412258", "0.90073727590224092722"),
    offset=("x1", 0.5),
    note=(
        "No intercept, offset 0.5*x1. se and loglik from the published covariance and deviance. R"
        " takes the covariance one step early: right to 3e-8."
    ),
)

ADMISSIONS_GROUPED = Published(
    name="admissions_grouped",
    columns=ADMISSIONS_COLUMNS,
    data=ADMISSIONS,
    labels="admitted",
    features=("rank2", "rank3", "rank4"),
    intercept="first",
    coef=(0.1643030512912767, -0.7500299832303851, -1.3646980342693287, -1.6867295867357475),
    digits=16,
    source=(
        'JuliaStats/GLM.jl, test/runtests.jl, testsets "Binomial LogitLink aggregated" '
        '(coefficients) and "Aggregated Binomial LogitLink" (log-likelihood); software: Julia '
        "GLM.jl. Data: UCLA graduate admissions, admit by rank."
    ),
    mp_coef=(
        "0.16430305129127631152",
        "-0.75002998323038475003",
        "-1.3646980342693283249",
        "-1.68672958673574692",
    ),
    mp_se=(
        "0.25693835061608848375",
        "0.30796933757494430106",
        "0.33538677657839275992",
        "0.40930730207567459481",
    ),
    mp_loglik="-237.48335921402703309",
    agree_coef=3e-15,
    loglik=-237.48335921403134,
    agree_loglik=2e-14,
    mp_hc0=(
        "0.25693835061608848375",
        "0.30796933757494430106",
        "0.33538677657839275992",
        "0.40930730207567459481",
    ),
    trials="applicants",
    note=(
        "Saturated (4 groups, 4 coefficients: logits of the group rates). loglik has no binomial "
        "constants; with log C(n, k) added the source gives -9.50254433604239."
    ),
)

BEETLES_GROUPED = Published(
    name="beetles_grouped",
    columns=BEETLES_COLUMNS,
    data=BEETLES,
    labels="killed",
    features=("dose",),
    intercept="first",
    coef=(-60.717455, 34.270326),
    digits=8,
    source=(
        "Data: C. Bliss (1935), Annals of Applied Biology 22, 134-167; A. Dobson, An Introduction"
        " to Generalized Linear Models, beetle mortality table. Values: P. Dunn, glmlab manual "
        "(MATLAB), section on the binomial distribution, Table 5.5 and output."
    ),
    mp_coef=("-60.717454561635415117", "34.270325734146981163"),
    mp_se=("5.180711463340803357", "2.9121400706357298474"),
    mp_loglik="-186.2354032717683709",
    agree_coef=8e-09,
    se=(5.180701, 2.912134),
    agree_se=3e-06,
    mp_hc0=("5.1660057850942725565", "2.8880848998514369145"),
    trials="exposed",
    note=(
        "Published deviance 11.232231. The glmlab page prints 60 killed at dose 1.8610, a "
        "misprint: its output is for 61 (Dobson; deviance 11.2322 against 9.8450). se off by 2e-6"
        " (probably one step early)."
    ),
)

CHALLENGER = Published(
    name="challenger",
    columns=CHALLENGER_COLUMNS,
    data=CHALLENGER,
    labels="failed",
    features=("temperature",),
    intercept="first",
    coef=(15.0429, -0.2322),
    digits=4,
    source=(
        "Data: S. Dalal, E. Fowlkes and B. Hoadley (1989), Risk Analysis of the Space Shuttle, "
        "JASA 84, 945-957 (23 flights, any O-ring distress). Values: R summary(glm(Fail > 0 ~ "
        "Temp, binomial)), as printed in the Challenger logistic regression example of BYU-Idaho "
        "Math 325 notes."
    ),
    mp_coef=("15.042901647702440711", "-0.23216274421859647146"),
    mp_se=("7.3786363849165655884", "0.10823652164928543077"),
    mp_loglik="-10.157596343933414245",
    agree_coef=0.0002,
    se=(7.3786, 0.1082),
    agree_se=0.0004,
    mp_hc0=("5.9189909113169577878", "0.09073589570909846505"),
    note=(
        "Printed to 4 decimals; the intercept is also quoted as 15.042902 in the test file of T. "
        "Haslwanter, An Introduction to Statistics with Python (C12_2_logit, sign for the other "
        "outcome)."
    ),
)

ALL = (
    SPECTOR_LOGIT_SINGLE,
    SPECTOR_GLM,
    SPECTOR_EQUAL_SLOPES,
    SPECTOR_OFFSET,
    LBW,
    PATIENTS,
    SYNTHETIC_PLAIN,
    SYNTHETIC_FREQUENCY_WEIGHTS,
    SYNTHETIC_REAL_WEIGHTS,
    SYNTHETIC_OFFSET,
    ADMISSIONS_GROUPED,
    BEETLES_GROUPED,
    CHALLENGER,
)
