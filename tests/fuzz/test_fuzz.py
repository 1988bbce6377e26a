"""Files of unknown origin are accepted with a well-formed result, or refused with a sentence; nothing else happens."""

import pytest

from mindvit.errors import UserError
from tests.fuzz.campaign import Campaign
from tests.fuzz.corpus import CASES
from tests.fuzz.sandbox import confined_to, limited_memory
from tests.fuzz.targets import TARGETS


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_known_case_ends_as_it_must(tmp_path, case):
    case.write(tmp_path)
    with limited_memory():
        if case.expected is None:
            with confined_to(tmp_path):
                TARGETS[case.target].check(tmp_path)
        else:
            with confined_to(tmp_path), pytest.raises(UserError, match=case.expected):
                TARGETS[case.target].check(tmp_path)


@pytest.fixture(scope="module")
def counts():
    return Campaign({name: target.blocks for name, target in TARGETS.items()}).run()


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_and_generated_cases_have_no_findings(counts, name):
    found = counts[name]
    assert not found.findings, "\n".join(found.findings.values())
    assert found.accepted, "some changes must not matter"
    assert found.refused or name == "names", "some changes must matter"
