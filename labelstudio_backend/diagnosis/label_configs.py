"""Whether a project's labelling config lets people prompt the model and take its masks."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from labelstudio_backend.diagnosis.findings import Finding, hint, ok, problem

# Controls that take what the model gives, the most exact first.
MASK_CONTROLS = (
    "BrushLabels",
    "BitmaskLabels",
    "PolygonLabels",
    "RectangleLabels",
    "EllipseLabels",
)
# Controls of which Label Studio makes smart tools for this model.
PROMPT_CONTROLS = ("KeyPointLabels", "RectangleLabels")

EXAMPLE = (
    '<KeyPointLabels name="points" toName="image" smart="true">, '
    '<RectangleLabels name="boxes" toName="image" smart="true"> and '
    '<BrushLabels name="masks" toName="image">, each with the same <Label value="..."/>'
)


def check_label_config(xml: str) -> list[Finding]:
    """Look at a labelling config.

    Parameters
    ----------
    xml : str
        As the project has it.

    Returns
    -------
    list of Finding
    """
    try:
        # Entities are how a small text becomes a large one; Label Studio's configs have none.
        if "<!" in xml.replace("<!--", ""):
            raise ElementTree.ParseError("it has a document type or entities")
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        return [problem(f"the labelling config cannot be read: {error}", "correct its XML")]
    images = root.findall(".//Image")
    if not images:
        return [
            problem(
                "the labelling config shows no image",
                'add <Image name="image" value="$image"/>, with the name of the tasks\' field',
            )
        ]
    names = {image.get("name", "") for image in images}
    findings = [ok(f"the labelling config shows an image from {_values(images)}")]
    prompts = [each for each in _controls(root, PROMPT_CONTROLS, names) if _is_smart(each)]
    masks = _controls(root, MASK_CONTROLS, names)
    findings.append(_check_prompts(prompts))
    findings.append(_check_masks(masks, prompts))
    findings.extend(_check_labels(masks, prompts))
    return findings


def _controls(root: Element, tags: tuple[str, ...], images: set[str]) -> list[Element]:
    return [each for tag in tags for each in root.iter(tag) if each.get("toName", "") in images]


def _check_prompts(prompts: list[Element]) -> Finding:
    if prompts:
        return ok(f"annotators can prompt with {_named(prompts)}")
    return problem(
        "the labelling config has no smart points or rectangles: clicks never reach the model",
        f"for example {EXAMPLE}",
    )


def _check_masks(masks: list[Element], prompts: list[Element]) -> Finding:
    exact = [each for each in masks if each.tag not in PROMPT_CONTROLS]
    if exact:
        return ok(f"masks are answered as {_named(exact)[:200]}")
    if any(each not in prompts for each in masks):
        return hint("masks are answered as rectangles", "add BrushLabels to get the outline")
    return problem(
        "the labelling config has no control that takes a mask",
        '<BrushLabels name="masks" toName="image"> with the same labels',
    )


def _check_labels(masks: list[Element], prompts: list[Element]) -> list[Finding]:
    exact = [each for each in masks if each.tag not in PROMPT_CONTROLS] or masks
    takes = {value for each in exact for value in _labels(each)}
    lost = sorted({value for each in prompts for value in _labels(each)} - takes)
    if not lost or not exact:
        return []
    return [
        hint(
            f"no control for masks has the label {', '.join(lost[:10])}",
            "give the controls for prompts and for masks the same labels",
        )
    ]


def _labels(control: Element) -> list[str]:
    return [label.get("alias") or label.get("value") or "" for label in control.iter("Label")]


def _is_smart(control: Element) -> bool:
    return control.get("smart", "false").lower() == "true"


def _named(controls: list[Element]) -> str:
    return ", ".join(f"{each.tag} {each.get('name', '')!r}" for each in controls)


def _values(images: list[Element]) -> str:
    return ", ".join(image.get("value") or image.get("valueList") or "nothing" for image in images)
