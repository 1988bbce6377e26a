from mindvit.dry_run.compile_errors import reduce_error
from tests.dry_run.mindspore_texts import NO_KERNEL, NO_SHAPE


def test_a_missing_kernel_is_told_by_operator_cell_and_line():
    text = reduce_error(NO_KERNEL)
    assert "operator FloatStatus, cell network.norm, /home/me/net.py:20 `return self.status(y)`" in text
    assert "The current operator needs to be supplemented with an adapter" in text
    assert "\n" not in text


def test_a_wrong_shape_is_told_by_operator_and_the_line_outside_of_mindspore():
    text = reduce_error(NO_SHAPE)
    assert "operator MatMulExt, /home/me/net.py:26 `y=ops.matmul(x,x)`" in text
    assert text.endswith("shape1[-1] must be equal to shape2[-2], but got 8 and 4.")


def test_an_error_of_another_form_keeps_its_first_line():
    assert reduce_error("basic_string::_M_construct null not valid\nmore") == (
        "the graph does not compile for Ascend: basic_string::_M_construct null not valid"
    )
