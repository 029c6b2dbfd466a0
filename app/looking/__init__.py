"""Looking at single pictures: what models say of a drawing; what a merge confuses, loses and gains."""
