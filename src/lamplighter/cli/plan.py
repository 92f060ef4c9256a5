"""`lamplighter plan`: what a campaign would do and cost, before anybody approves it."""

from typing import Final

from cyclopts import App

app: Final = App(
    name="plan",
    help="Rehearse a campaign, forecast it, and reckon whether it pays.",
    help_format="markdown",
)
# A command that stands in a module of its own is imported only when it is called:
#     app.command("lamplighter.cli.business:business_case", name="business-case")
app.command(
    "lamplighter.cli.business:business_case",
    name="business-case",
    help="Whether over the air pays, and what that hangs on.",
)
app.command(
    "lamplighter.cli.rehearse:rehearse",
    name="rehearse",
    help="Run the very plan over a model of the fleet: when, at what load, what fails.",
)
