"""Run directory, tables, curves: one self-contained page."""

from antivenom.report.page import render_screen, render_study, write_screen_report, write_study_report

__all__ = ["render_screen", "render_study", "write_screen_report", "write_study_report"]
