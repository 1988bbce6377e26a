"""The commands of ``mindvit``, in the order in which one needs them."""

from mindvit.command import Command, call


def _launch(arguments: list[str], usage: str, command: Command) -> None:
    from mindvit.launch.launcher import launch

    launch(arguments, usage)


COMMANDS = {
    "check-data": Command(
        "Check a data set before training: counts, corrupt and equal images, leaks between splits.",
        "--data.source folder --data.path IMAGES --output check.json",
        call("mindvit.data.check.check_data:CheckDataSettings", "mindvit.data.check.check_data:check_data"),
        prints_result=True,
    ),
    "train": Command(
        "Train a Vision Transformer.",
        {
            "Train on handwritten digits, in minutes on any computer": "--config configs/digits.yaml",
            "Fine-tune on your images, train/CLASS/ and val/CLASS/ in a folder": "--config "
            "configs/finetune_own_images.yaml --data.path IMAGES",
            "Change settings of a recipe": "--config configs/digits.yaml --train.epochs 30 --optimizer.lr 1e-3",
            "Resume an interrupted run": "--config configs/digits.yaml --resume auto",
            "Check that a recipe compiles for Ascend and fits, on any machine": "--config configs/deit_b_16.yaml "
            "--dry_run true",
        },
        call("mindvit.training.recipe:Recipe", "mindvit.training.trainer:train"),
    ),
    "eval": Command(
        "Evaluate a checkpoint.",
        "--ckpt output/digits/best.ckpt",
        call("mindvit.evaluation.evaluator:EvalSettings", "mindvit.evaluation.evaluator:evaluate_checkpoint"),
        prints_result=True,
    ),
    "infer": Command(
        "Classify images, folders of images, and videos.",
        {
            "Classify an image, and draw the classes below it": "--ckpt output/digits/best.ckpt --image IMAGE --output "
            "annotated.jpg",
            "Classify folders, several files or a quoted pattern": "--ckpt output/digits/best.ckpt --image IMAGES "
            "'*.png' --predictions predictions.csv",
            "Draw an overview of many images": "--ckpt output/digits/best.ckpt --image IMAGES --contact_sheet "
            "sheet.png",
            "Classify two frames of each second of a video": "--ckpt output/digits/best.ckpt --image clip.mp4 --every "
            "0.5s --output FRAMES",
            "Print JSON for another program": "--ckpt output/digits/best.ckpt --image IMAGE --json",
        },
        call(
            "mindvit.inference.infer_command:InferSettings",
            "mindvit.inference.infer_command:run_infer",
            {"json": ("as_json", "Print the predictions as JSON.")},
        ),
        prints_result=True,
    ),
    "report": Command(
        "Report on a run, or on two runs side by side, as one HTML page.",
        {
            "A run, finished or not": "output/digits",
            "Two runs side by side": "output/digits output/digits_ema --output compare.html",
            "Images that are in another place now": "output/digits --data.path IMAGES",
        },
        call(
            "mindvit.report.report_command:ReportSettings",
            "mindvit.report.report_command:make_report",
            positional=("run", "compare"),
        ),
    ),
    "visualize": Command(
        "Draw the attention in an image, or what a network has learned.",
        commands={
            "attention": Command(
                "Draw the attention rollout over an image, and the heads of a block.",
                "--ckpt output/digits/best.ckpt --image IMAGE --output attention.png",
                call(
                    "mindvit.visualize.attention_figure:AttentionSettings",
                    "mindvit.visualize.attention_figure:visualize_attention",
                ),
            ),
            "positions": Command(
                "Draw the similarity of the position embeddings.",
                "--ckpt output/digits/best.ckpt --output positions.png",
                call(
                    "mindvit.visualize.position_similarity:PositionSettings",
                    "mindvit.visualize.position_similarity:visualize_positions",
                ),
            ),
            "filters": Command(
                "Draw the principal components of the filters of the patch embedding.",
                "--ckpt output/digits/best.ckpt --output filters.png",
                call(
                    "mindvit.visualize.patch_filters:FilterSettings",
                    "mindvit.visualize.patch_filters:visualize_filters",
                ),
            ),
        },
    ),
    "demo": Command(
        "Serve a page that classifies images in a browser.",
        {
            "On this machine": "--ckpt output/digits/best.ckpt",
            "With examples of a folder, for other machines too": "--ckpt output/digits/best.ckpt --examples IMAGES "
            "--host 0.0.0.0 --port 8080",
        },
        call("mindvit.demo.demo_command:DemoSettings", "mindvit.demo.demo_command:demo"),
    ),
    "export": Command(
        "Export a checkpoint as ONNX, MINDIR or AIR for deployment.",
        {
            "ONNX, for any batch size": "--ckpt output/digits/best.ckpt --output digits.onnx",
            "RGB pixels in, probabilities out": (
                "--ckpt output/digits/best.ckpt --output digits.onnx --pixel_input true --probabilities true"
            ),
            "int8, with a folder of calibration images": (
                "--ckpt output/digits/best.ckpt --output digits_int8.onnx --int8 true --calibration IMAGES"
            ),
            "MINDIR, for MindSpore Lite": (
                "--ckpt output/digits/best.ckpt --format MINDIR --batch_size 8 --output digits.mindir"
            ),
        },
        call("mindvit.export.export_command:ExportSettings", "mindvit.export.export_command:export"),
    ),
    "convert": Command(
        "Convert weights of other libraries to a checkpoint, or export a checkpoint to timm or Hugging Face.",
        "--source FILE --model vit_b_16_224 --output ckpt/mine.ckpt",
        call("mindvit.conversion:ConvertSettings", "mindvit.conversion:convert"),
    ),
    "extract-features": Command(
        "Extract the features of all images in a folder.",
        "--ckpt output/digits/best.ckpt --folder IMAGES --output features.npz",
        call("mindvit.extraction:ExtractSettings", "mindvit.extraction:extract"),
    ),
    "convert-to-mindrecord": Command(
        "Convert an image folder or ImageNet to MindRecord shards.",
        "--source folder --path DIR --output OUT",
        call(
            "mindvit.data.mindrecord.converter:MindRecordSettings",
            "mindvit.data.mindrecord.converter:convert_to_mindrecord",
            {
                "download": ("download", "Download the tutorial's subset of ImageNet if the source has no folder."),
                "overwrite": ("overwrite", "Replace an earlier conversion in --output."),
            },
        ),
    ),
    "dry-run": Command(
        "Compile a recipe for Ascend on any machine, and report kernels, memory and collectives.",
        "--config configs/deit_b_16.yaml --ranks 8 --output dry_run.json",
        call("mindvit.dry_run_command:DryRunSettings", "mindvit.dry_run_command:dry_run"),
        prints_result=True,
    ),
    "benchmark": Command(
        "Measure speed and memory, beside MindSpore's own cells, PyTorch and onnxruntime.",
        commands={
            "forward": Command(
                "Measure the forward pass of a network.",
                {
                    "Beside PyTorch and timm, eager and compiled": "--model.name vit_b_16_224 --compare torch",
                    "Cost against size, as JSON and a chart": "--models vit_ti_16_224 vit_s_16_224 --batch_sizes 1 8 "
                    "--output speed.json --chart speed.png",
                },
                call(
                    "mindvit.benchmark.benchmark_settings:ForwardSettings",
                    "mindvit.benchmark.speed_command:benchmark_forward",
                ),
                prints_result=True,
            ),
            "train": Command(
                "Measure the training step of a recipe.",
                {
                    "AdamW and clipping, beside PyTorch": "--model.name vit_b_16_224 --batch_sizes 8 --compare torch",
                    "A recipe": "--config configs/digits.yaml",
                },
                call(
                    "mindvit.benchmark.benchmark_settings:StepSettings",
                    "mindvit.benchmark.speed_command:benchmark_train",
                ),
                prints_result=True,
            ),
            "data": Command(
                "Measure the input pipeline of a recipe.",
                {
                    "On generated JPEG files, beside torchvision": "--workers 1 2 --compare torch",
                    "On your images": "--config configs/deit_b_16.yaml --data.source folder --data.path IMAGES",
                },
                call(
                    "mindvit.benchmark.benchmark_settings:PipelineSettings",
                    "mindvit.benchmark.speed_command:benchmark_data",
                ),
                prints_result=True,
            ),
            "run": Command(
                "Measure a training run end to end, beside its step and its pipeline alone.",
                "--config configs/digits.yaml",
                call(
                    "mindvit.benchmark.benchmark_settings:RunSettings",
                    "mindvit.benchmark.speed_command:benchmark_run",
                ),
                prints_result=True,
            ),
            "inference": Command(
                "Measure the command infer, beside its network alone.",
                "--model.name vit_s_16_224 --images IMAGES",
                call(
                    "mindvit.benchmark.benchmark_settings:InferenceSettings",
                    "mindvit.benchmark.speed_command:benchmark_inference",
                ),
                prints_result=True,
            ),
            "operators": Command(
                "Measure forms of an operator at the sizes of a network.",
                {
                    "Forms of GELU, with gradients": "--operator gelu --backward true",
                    "Local attention beside full attention": "--operator local_attention --model.window_size 7 "
                    "--model.name vit_s_16_224 --image_sizes 224 448",
                    "Optimizers": "--operator optimizer --model.name vit_s_16_224",
                },
                call(
                    "mindvit.benchmark.benchmark_settings:OperatorSettings",
                    "mindvit.benchmark.speed_command:benchmark_operators",
                ),
                prints_result=True,
            ),
        },
    ),
    "clear-cache": Command(
        "Delete what mindvit keeps for later starts: compiled graphs, libraries for dry runs.",
        "",
        call("mindvit.clear_cache:ClearCacheSettings", "mindvit.clear_cache:clear_cache"),
    ),
    "launch": Command("Run train or eval on several devices or nodes.", "train --config configs/digits.yaml", _launch),
}

EXAMPLES = {
    "Train on handwritten digits, in minutes on any computer": "mindvit train --config configs/digits.yaml "
    "--output_dir output/digits",
    "Train on all NPUs of this machine": "mindvit launch train --config configs/deit_b_16.yaml",
    "Evaluate the best weights": "mindvit eval --ckpt output/digits/best.ckpt",
    "Classify an image": "mindvit infer --ckpt output/digits/best.ckpt --image IMAGE",
    "Bring weights of another library": "mindvit convert --source FILE --model vit_b_16_224 --output ckpt/mine.ckpt",
}
"""Commands by what they do, for ``mindvit --help``."""
