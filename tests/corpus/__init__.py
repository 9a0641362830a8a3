"""A corpus of rare and malformed CT around a phantom whose HU is a known function of the patient's millimetres.

Nothing in here knows the software that is judged with it; see README.md.
"""
