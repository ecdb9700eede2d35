import uuid

from django.db import migrations, models

import authfi.crypto.fields
import authfi.lib.tenancy


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Consent',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('patient', authfi.crypto.fields.SealedTextField(editable=True, null=True)),
                ('patient_index', authfi.crypto.fields.BlindIndexField(editable=False, exact=True, max_length=64, null=True, source='patient')),
                ('decision', models.CharField(choices=[('allow', 'Allow'), ('deny', 'Deny')], max_length=8)),
                ('state', models.CharField(choices=[('active', 'Active'), ('inactive', 'Inactive')], max_length=8)),
                ('scopes', models.TextField(blank=True)),
                ('remember', models.BooleanField(default=False)),
                ('decided_at', models.DateTimeField()),
                ('withdrawn_at', models.DateTimeField(null=True)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='ConsentRequest',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('patient', authfi.crypto.fields.SealedTextField(editable=True, null=True)),
                ('shown', authfi.crypto.fields.SealedJSONField(editable=True)),
                ('scopes', models.TextField()),
                ('return_path', models.CharField(max_length=300)),
                ('session_digest', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField()),
                ('decided_at', models.DateTimeField(null=True)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='ConsentText',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('tenant_id', models.UUIDField(default=authfi.lib.tenancy.bound_id, editable=False)),
                ('digest', models.CharField(max_length=64)),
                ('language', models.CharField(max_length=16)),
                ('text', models.JSONField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
    ]
