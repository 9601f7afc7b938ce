"""Pages of the admin that are no list of a table. They come before Django's own, which has the rest."""

from django.contrib import admin
from django.urls import path

from dispatch.admin import finding, home

app_name = "operations"
urlpatterns = [
    path("", admin.site.admin_view(home.home), name="home"),
    path("live/", admin.site.admin_view(home.live), name="live"),
    path("all/", admin.site.admin_view(admin.site.index), name="everything"),
    path("search/", admin.site.admin_view(finding.search), name="search"),
]
