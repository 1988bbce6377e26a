"""The texts of the page, in English and Chinese. The browser chooses the language, or the settings of the page."""
# ruff: noqa: RUF001 (the punctuation of Chinese)

ENGLISH = {
    "intro": "Drop an image into the box. The network classifies it, and shows where it looked.",
    "upload": "Image",
    "examples": "Examples",
    "classes": "Classes",
    "seen": "What the network sees",
    "attention": "Attention",
    "attention_help": "Attention rollout: the answer can draw on the bright areas; dark areas hardly reach it.",
    "refused": "**This file cannot be classified: it is no image that can be read.**",
    "failed": "**The image could not be classified. The console of the server says why.**",
}
CHINESE = {
    "intro": "请将图像拖放到方框中。网络会对图像进行分类，并显示它关注的位置。",
    "upload": "图像",
    "examples": "示例",
    "classes": "类别",
    "seen": "网络看到的区域",
    "attention": "注意力",
    "attention_help": "注意力展开（attention rollout）：明亮区域的信息能够传到答案，暗色区域几乎不起作用。",
    "refused": "**无法对此文件进行分类：它不是可以读取的图像。**",
    "failed": "**图像分类失败，原因见服务器的控制台。**",
}
CHINESE_LOCALES = ("zh", "zh-CN", "zh-SG", "zh-TW", "zh-HK")
PREFIX = "mindvit_"
"""Of all keys: Gradio has texts of its own under short keys."""


def translations() -> dict[str, dict[str, str]]:
    """Texts by locale of the browser, by key. Browsers in other languages show English."""
    texts = {"en": ENGLISH} | dict.fromkeys(CHINESE_LOCALES, CHINESE)
    return {locale: {PREFIX + key: text for key, text in table.items()} for locale, table in texts.items()}
