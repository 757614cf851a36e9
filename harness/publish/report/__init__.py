"""The report: tables, figures and pages made of the index and of the verdicts in force."""
