# Submit it again if cells are left; what is finished is not computed again. A cell that failed is tried again by every
# worker that starts later.
{% if builds %}
#
# First build the data once, where it can be reached; else the first worker does it and the others wait:
{% for command in builds %}
#   {{ command | commented }}
{% endfor %}
{% endif %}
