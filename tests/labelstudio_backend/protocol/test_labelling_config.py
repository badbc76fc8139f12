"""Labelling configs: which control takes a mask."""

import pytest

from labelstudio_backend.protocol.labelling_config import (
    LabellingConfigError,
    read_labelling_config,
)

ALL = """<View>
 <Image name="image" value="$photo"/>
 <KeyPointLabels name="kp" toName="image" smart="true"><Label value="Cat"/><Label value="Dog"/></KeyPointLabels>
 <RectangleLabels name="rect" toName="image" smart="true"><Label value="Cat"/><Label value="Dog"/></RectangleLabels>
 <PolygonLabels name="poly" toName="image"><Label value="Cat"/></PolygonLabels>
 <BrushLabels name="brush" toName="image"><Label value="Dog"/></BrushLabels>
 <Header value="x"/>
</View>"""  # noqa: E501


def one(control, more=""):
    return f'<View><Image name="image" value="$image"/>{control}{more}</View>'


def test_the_image_and_its_field():
    config = read_labelling_config(ALL)
    assert config.image_of() == ("image", "photo")
    with pytest.raises(LabellingConfigError, match="no image 'other'"):
        config.image_of("other")
    assert [control.name for control in config.controls] == ["kp", "rect", "poly", "brush"]
    assert [control.smart for control in config.controls] == [True, True, False, False]


@pytest.mark.parametrize(
    ("label", "control", "given"),
    [
        ("Dog", "brush", "Dog"),
        ("Cat", "poly", "Cat"),
        ("Cow", "brush", "Dog"),
        (None, "brush", "Dog"),
    ],
)
def test_the_most_exact_control_with_the_label(label, control, given):
    chosen = read_labelling_config(ALL).output_for(label, "image")
    assert (chosen[0].name, chosen[1]) == (control, given)


def test_a_smart_rectangle_takes_masks_only_if_nothing_else_does():
    rectangle = (
        '<RectangleLabels name="r" toName="image" smart="true"><Label value="A"/></RectangleLabels>'
    )
    ellipse = '<EllipseLabels name="e" toName="image"><Label value="A"/></EllipseLabels>'
    assert read_labelling_config(one(rectangle)).output_for("A", "image")[0].name == "r"
    assert read_labelling_config(one(rectangle, ellipse)).output_for("A", "image")[0].name == "e"


def test_tags_without_labels():
    config = read_labelling_config(one('<Brush name="b" toName="image"/>'))
    control, label = config.output_for("A", "image")
    assert (control.region_type, label) == ("brush", None)


def test_a_label_s_alias_is_what_regions_have():
    config = read_labelling_config(
        one('<BrushLabels name="b" toName="image"><Label value="Long" alias="a"/></BrushLabels>')
    )
    assert config.controls[0].labels == ("a",)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("", "cannot be read"),
        ("<View>", "cannot be read"),
        ("<View/>", "no image"),
        ("<View><Text name='t'/></View>", "no image"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><View>&x;</View>', "document type"),
        ("<View>" + " " * 1_000_001, "at most"),
        (7, "at most"),
    ],
)
def test_what_cannot_be_used_is_said(xml, message):
    with pytest.raises(LabellingConfigError, match=message):
        read_labelling_config(xml)


def test_no_place_for_masks():
    config = read_labelling_config(one('<KeyPointLabels name="k" toName="image"/>'))
    with pytest.raises(LabellingConfigError, match="<BrushLabels"):
        config.output_for("A", "image")
