from dataclasses import fields

import mindspore as ms
import numpy as np
import pytest

from mindvit import create_model
from mindvit.errors import UserError
from mindvit.factory import ModelSettings, load_trained
from mindvit.models import Preprocessing, ViTConfig


def test_a_trained_model_comes_back_from_its_checkpoint_alone(tiny_checkpoint, rng):
    path = tiny_checkpoint(drop_path=0.1)
    images = ms.Tensor(rng.standard_normal((2, 3, 8, 8)).astype(np.float32))
    one, other = (load_trained(str(path)).network.set_train(False) for _ in range(2))
    np.testing.assert_array_equal(one(images).asnumpy(), other(images).asnumpy())
    assert one.config.embed_dim == 32
    assert one.config.drop_path == 0.1


def test_a_checkpoint_without_passport_is_recognised_by_its_file_name(tmp_path):
    path = tmp_path / "my-vit_ti_16_224-3.ckpt"
    ms.save_checkpoint(create_model("vit_ti_16_224", num_classes=7), str(path))
    trained = load_trained(str(path))
    assert trained.passport.model_name == "vit_ti_16_224"
    assert trained.passport.model.num_classes == 7
    assert trained.passport.classes is None


def test_one_of_1000_classes_is_taken_for_imagenets(tmp_path):
    path = tmp_path / "vit_ti_16_224.ckpt"
    ms.save_checkpoint(create_model("vit_ti_16_224"), str(path))
    passport = load_trained(str(path)).passport
    assert passport.classes.names[236] == "Doberman"
    assert passport.data_source == "imagenet"


def test_an_unrecognised_checkpoint_says_what_to_do(tmp_path):
    ms.save_checkpoint(create_model("vit_mini_4_32"), str(tmp_path / "model.ckpt"))
    with pytest.raises(UserError, match="put the model's name into the file's"):
        load_trained(str(tmp_path / "model.ckpt"))


def test_starting_from_a_checkpoint_takes_its_sizes_and_classes(tiny_checkpoint):
    network = create_model("vit_mini_4_32", checkpoint=str(tiny_checkpoint()))
    assert (network.config.embed_dim, network.config.num_classes) == (32, 2)
    network = create_model("vit_mini_4_32", checkpoint=str(tiny_checkpoint()), num_classes=5, reset_head=True)
    assert network.config.num_classes == 5


def test_another_architecture_is_refused_naming_tensors(tiny_checkpoint):
    with pytest.raises(UserError, match=r"does not fit this model: cls is 1x1x32 and not 1x1x192.*it lacks"):
        create_model("vit_ti_16_224", checkpoint=str(tiny_checkpoint()))


def test_another_image_size_is_refused_naming_the_positions(tiny_checkpoint):
    with pytest.raises(UserError, match="pos_embedding is 1x5x32 and not 1x17x32"):
        create_model("vit_mini_4_32", checkpoint=str(tiny_checkpoint()), image_size=16)


def test_the_settings_of_a_recipe_mirror_those_of_the_network():
    own = {item.name for item in fields(ModelSettings)} - {"name", "checkpoint", "reset_head"}
    data_decide = {"num_classes", "in_channels"}
    of_network = {item.name for item in (*fields(ViTConfig), *fields(Preprocessing))} - data_decide - {"preprocessing"}
    assert own == of_network
