import numpy as np
import pytest
from scipy.io import savemat

from mindvit.data.imagenet import imagenet_classes, open_imagenet, read_meta
from mindvit.errors import UserError


def write_meta(path):
    """A meta.mat with the structure of ILSVRC2012's: leaves and inner nodes, not sorted by WordNet id."""
    rows = [
        ("n02107142", "Doberman, Doberman pinscher", 0),
        ("n01440764", "tench, Tinca tinca", 0),
        ("n00001740", "entity", 5),
        ("n02012849", "crane", 0),
    ]
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    synsets = np.array([(i + 1, wnid, words, children) for i, (wnid, words, children) in enumerate(rows)], kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"synsets": synsets.reshape(-1, 1)})


def test_meta_mat_gives_the_leaves_in_order_of_wordnet_id(tmp_path):
    write_meta(tmp_path / "meta.mat")
    classes = read_meta(tmp_path / "meta.mat")
    assert classes.ids == ("n01440764", "n02012849", "n02107142")
    assert classes.names == ("tench", "crane", "Doberman")


def test_a_file_that_is_not_a_class_list_is_reported(tmp_path):
    (tmp_path / "meta.mat").write_text("x")
    with pytest.raises(UserError, match=r"meta\.mat is not the class list"):
        read_meta(tmp_path / "meta.mat")


def test_the_packaged_list_has_all_1000_classes():
    classes = imagenet_classes()
    assert len(classes) == len(set(classes.ids)) == 1000
    assert classes.ids == tuple(sorted(classes.ids))
    assert (classes.names[0], classes.names[236], classes.names[999]) == ("tench", "Doberman", "toilet tissue")


def test_a_subset_of_imagenet_keeps_the_labels_of_all_classes(make_folder):
    source = open_imagenet(make_folder(classes=("n02107142", "n01440764"), counts=1))
    assert source.val.labels.tolist() == [0, 236]
    assert len(source.val.classes) == 1000


def test_the_folder_of_one_split_is_read(make_folder):
    source = open_imagenet(make_folder(classes=("n02107142", "n01440764"), counts=1) / "val")
    assert source.train is source.val
    assert source.val.labels.tolist() == [0, 236]


def test_the_names_of_the_development_kit_have_priority(make_folder):
    root = make_folder(classes=("n02107142", "n01440764"), counts=1)
    write_meta(root / "ILSVRC2012_devkit_t12/data/meta.mat")
    source = open_imagenet(root)
    assert source.val.labels.tolist() == [0, 2]
    assert source.val.classes.names == ("tench", "crane", "Doberman")


def test_a_folder_that_is_not_a_wordnet_id_is_reported(make_folder):
    with pytest.raises(UserError, match="not a known class: cat, dog"):
        open_imagenet(make_folder(classes=("n02107142", "cat", "dog")))


@pytest.mark.parametrize("download", [False, True])
def test_a_folder_of_other_data_is_refused_with_the_way_to_the_tutorials(make_folder, tmp_path, download):
    """The default folder, dataset/, exists as soon as the digits were written to dataset/digits."""
    make_folder("dataset/digits")
    hint = r"--data\.path .*dataset/imagenet --download true; for other classes set --data\.source folder"
    for folder in ("dataset", "dataset/digits", "dataset/digits/train"):
        with pytest.raises(
            UserError, match=f"dataset.* has no images of ImageNet: .*{hint if folder == 'dataset' else ''}"
        ):
            open_imagenet(tmp_path / folder, download)


def test_a_missing_imagenet_folder_offers_the_tutorial_subset(tmp_path):
    with pytest.raises(UserError, match=r"489\.1 MB.*--download true"):
        open_imagenet(tmp_path / "nowhere")


def test_a_folder_without_train_and_val_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no train/ or val/ with one folder per WordNet id"):
        open_imagenet(tmp_path)
