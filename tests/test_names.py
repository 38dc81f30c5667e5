import pytest
from hypothesis import given
from hypothesis import strategies as st

from properties import searched
from vatrace.names import MODALITIES, RESERVED, check_modality, in_order


@searched
@given(names=st.lists(st.sampled_from([*MODALITIES, "physiology", "gaze", "a"])))
def test_modalities_have_one_order_however_they_are_given(names: list[str]) -> None:
    found = in_order(names)
    assert sorted(found) == sorted(set(names)) and in_order(reversed(names)) == found
    own = [name for name in found if name in MODALITIES]
    assert own == [name for name in MODALITIES if name in names] and list(found) == own + sorted(set(found) - set(own))


@pytest.mark.parametrize("name", [*MODALITIES, "physiology", "eda_2"])
def test_a_plain_name_is_a_modality(name: str) -> None:
    check_modality(name)


@pytest.mark.parametrize("name", ["", "Face", "2d", "_x", "eye gaze", "../up", "a.b", "größe", "face\n"])
def test_a_name_that_files_and_columns_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letters, digits and _") as error:
        check_modality(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("name", [*RESERVED, "state_0", "next_state_0"])
def test_a_name_that_stores_and_models_use_is_reserved(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is reserved"):
        check_modality(name)
